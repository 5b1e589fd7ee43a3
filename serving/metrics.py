"""What Prometheus scrapes: requests, latencies, absent features, models, the online store, the log, the process."""

from collections import Counter as Tally
from collections.abc import Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from serving.http.queue import Queue
from serving.log.logger import PredictionLogger
from serving.models.predictions import HIGH, LOW, Prediction

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0)


class Metrics:
    """One registry per application, so that two in one process do not add up."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # CPU and memory; shows nothing where there is no /proc
        self._requests = Counter(
            "larder_requests", "Requests to /predict by HTTP status", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "larder_request_seconds",
            "Time from the whole body to the answer",
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )
        rows = Counter("larder_predictions", "Rows answered", ["confidence"], registry=self._registry)
        self._sure_rows, self._doubtful_rows = rows.labels(HIGH), rows.labels(LOW)
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
        self._refused = Gauge(
            "larder_champion_refused", "1 while a promoted version cannot be served", registry=self._registry
        )
        self._shadow = Gauge(
            "larder_shadow",
            "1 for the version that answers unseen, 0 for earlier ones",
            ["model", "version"],
            registry=self._registry,
        )
        self._shadow_refused = Gauge(
            "larder_shadow_refused", "1 while the version named as shadow cannot listen", registry=self._registry
        )
        self._shadow_rows = Counter("larder_shadow_rows", "Rows answered by the shadow", registry=self._registry)
        self._shadow_seconds = Histogram(
            "larder_shadow_seconds",
            "Time of the shadow for one request, off the way to the answer",
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._shadow_dropped = Counter(
            "larder_shadow_dropped", "Rows that the shadow never saw: its queue was full", registry=self._registry
        )
        self._shadow_failed = Counter(
            "larder_shadow_failed",
            "Rows that the shadow could not answer, by kind of error",
            ["error"],
            registry=self._registry,
        )
        self._online = Gauge("larder_online_store_up", "1 while Redis answers", registry=self._registry)

    def count_request(self, status: int, seconds: float) -> None:
        self._requests.labels(status).inc()
        self._seconds.observe(seconds)

    def count_predictions(self, predictions: Sequence[Prediction]) -> None:
        doubtful = sum(prediction.confidence == LOW for prediction in predictions)
        self._doubtful_rows.inc(doubtful)
        self._sure_rows.inc(len(predictions) - doubtful)
        for doubt in ("missing", "stale", "out_of_bounds"):
            if named := [name for prediction in predictions for name in getattr(prediction, doubt)]:
                for feature, rows in Tally(named).items():
                    self._doubts.labels(feature, doubt).inc(rows)

    def count_shadow(self, rows: int, seconds: float) -> None:
        self._shadow_rows.inc(rows)
        self._shadow_seconds.observe(seconds)

    def count_shadow_dropped(self, rows: int) -> None:
        self._shadow_dropped.inc(rows)

    def count_shadow_failure(self, rows: int, problem: Exception) -> None:
        self._shadow_failed.labels(type(problem).__name__).inc(rows)

    def set_champion(self, model: str, version: str, refusal: str | None) -> None:
        _set_only(self._model, model, version)
        self._refused.set(refusal is not None)

    def set_shadow(self, model: str, version: str | None, refusal: str | None) -> None:
        _set_only(self._shadow, model, version)
        self._shadow_refused.set(refusal is not None)

    def set_online_store_up(self, is_up: bool) -> None:
        self._online.set(is_up)

    def watch(self, log: PredictionLogger) -> None:
        """Read the log's own counts at every scrape."""
        for name, text in (
            ("written", "Rows in the prediction log"),
            ("waiting", "Rows that wait on the server's disk for the prediction log"),
            ("dropped", "Rows that the prediction log lost: its spool was full or could not be written"),
            ("failed_writes", "Writes of the prediction log that failed and are tried again"),
        ):
            gauge = Gauge(f"larder_prediction_log_{name}", text, registry=self._registry)
            gauge.set_function(partial(getattr, log, name))

    def watch_queue(self, queue: Queue) -> None:
        refused = Gauge("larder_requests_refused", "Requests that would have waited too long", registry=self._registry)
        refused.set_function(lambda: queue.refused)

    def text(self) -> bytes:
        return generate_latest(self._registry)


def _set_only(gauge: Gauge, model: str, version: str | None) -> None:
    """1 for `version`, 0 for every other one that the gauge has shown."""
    for metric in gauge.collect():
        for sample in metric.samples:
            gauge.labels(**sample.labels).set(0)
    if version is not None:
        gauge.labels(model, version).set(1)
