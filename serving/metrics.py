"""What Prometheus scrapes: requests, latencies, absent features, the model, the online store, the log."""

from collections import Counter as Tally
from collections.abc import Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from serving.prediction_log import PredictionLog
from serving.predictions import Prediction

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0)


class Metrics:
    """One registry per application, so that two in one process do not add up."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # CPU time and memory
        self._requests = Counter(
            "larder_requests", "Requests to /predict by HTTP status", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "larder_request_seconds",
            "Time from the whole body to the answer",
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._rows = Counter("larder_predictions", "Rows answered", ["confidence"], registry=self._registry)
        self._doubts = Counter(
            "larder_feature_doubts",
            "Model inputs that were missing, stale or out_of_bounds",
            ["feature", "doubt"],
            registry=self._registry,
        )
        self._model = Gauge(
            "larder_model",
            "1 for the version that answers, 0 for earlier ones",
            ["model", "version"],
            registry=self._registry,
        )
        self._answering: tuple[str, str] | None = None
        self._refused = Gauge(
            "larder_champion_refused", "1 while a promoted version cannot be served", registry=self._registry
        )
        self._online = Gauge("larder_online_store_up", "1 while Redis answers", registry=self._registry)

    def count_request(self, status: int, seconds: float) -> None:
        self._requests.labels(status).inc()
        self._seconds.observe(seconds)

    def count_predictions(self, predictions: Sequence[Prediction]) -> None:
        for confidence, rows in Tally(prediction.confidence for prediction in predictions).items():
            self._rows.labels(confidence).inc(rows)
        for doubt in ("missing", "stale", "out_of_bounds"):
            named = Tally(name for prediction in predictions for name in getattr(prediction, doubt))
            for feature, rows in named.items():
                self._doubts.labels(feature, doubt).inc(rows)

    def set_model(self, model: str, version: str) -> None:
        if self._answering is not None:
            self._model.labels(*self._answering).set(0)
        self._answering = (model, version)
        self._model.labels(model, version).set(1)

    def set_champion_refused(self, is_refused: bool) -> None:
        self._refused.set(is_refused)

    def set_online_store_up(self, is_up: bool) -> None:
        self._online.set(is_up)

    def watch(self, log: PredictionLog) -> None:
        """Read the log's own counts at every scrape."""
        for name, text in (
            ("written", "Rows in the prediction log"),
            ("dropped", "Rows that the prediction log lost: its queue was full"),
            ("failed_writes", "Writes of the prediction log that failed and are tried again"),
        ):
            gauge = Gauge(f"larder_prediction_log_{name}", text, registry=self._registry)
            gauge.set_function(partial(getattr, log, name))

    def text(self) -> bytes:
        return generate_latest(self._registry)
