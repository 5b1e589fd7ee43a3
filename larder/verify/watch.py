"""Comparing again and again, with what was found as Prometheus metrics."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from larder.contracts.errors import LarderError
from larder.verify.counts import ViewComparison

EVERY_FEATURE = "*"
"""Label of entities that the history does not know: all their features are wrong."""


class Metrics:
    """What a process that compares in rounds shows of itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.compared = Counter(
            "larder_verify_compared", "Online values compared with their offline value.", registry=self.registry
        )
        self.different = Counter(
            "larder_verify_different",
            "Online values that differed, by cause; `larder verify --help` explains the causes.",
            ["view", "feature", "cause"],
            registry=self.registry,
        )
        self.failures = Counter(
            "larder_verify_failures", "Rounds, or views in a round, that could not be compared.", registry=self.registry
        )
        self.last_run = Gauge(
            "larder_verify_last_run_timestamp_seconds",
            "When the last round compared every view.",
            registry=self.registry,
        )

    def count(self, view: ViewComparison) -> None:
        if view.error:
            self.failures.inc()
        for item in view.features:
            for cause, number in item.causes.items():
                self.different.labels(view.view, item.feature, cause).inc(number)
        if view.strays:
            self.different.labels(view.view, EVERY_FEATURE, "extra").inc(view.strays * len(view.features))
        # Last, so that who reads meanwhile finds no value compared whose difference is yet to come.
        self.compared.inc(view.compared)


@contextmanager
def served(metrics: Metrics, *, host: str, port: int) -> Iterator[int]:
    """Answer `GET /metrics` inside the block; gives the port, a free one where 0 was asked for."""
    server, thread = start_http_server(port, host, metrics.registry)
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def watch(
    round_: Callable[[], Sequence[ViewComparison]],
    metrics: Metrics,
    *,
    seconds: float,
    failed: Callable[[LarderError], object],
) -> None:
    """Call `round_` now and every so many seconds, until SIGTERM or SIGINT; a failure ends its round only."""
    ended = threading.Event()
    with _on_end(ended):
        while not ended.is_set():
            try:
                views = round_()
                for view in views:
                    metrics.count(view)
                if not any(view.error for view in views):
                    metrics.last_run.set_to_current_time()
            except LarderError as problem:
                metrics.failures.inc()
                failed(problem)
            ended.wait(seconds)


@contextmanager
def _on_end(ended: threading.Event) -> Iterator[None]:
    """Let the signals that end a process end the loop instead; the round under way is finished."""
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
