"""Every metric that a process of Larder shows, read from what it really shows."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import promql_parser
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from larder.contracts.monitoring import Finding, Verdict
from larder.verify.watch import Metrics as VerifyMetrics
from monitoring.prometheus import exposition
from serving.http.queue import Queue
from serving.metrics import Metrics as ServingMetrics

OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_ITS_SCRAPE = {"job", "instance"}


def exposed() -> dict[str, set[str]]:
    """Sample -> its labels."""
    families = (family for text in _texts() for family in text_string_to_metric_families(text))
    shown = {sample.name: set(sample.labels) | OF_ITS_SCRAPE for family in families for sample in family.samples}
    return OF_PROMETHEUS | shown


def unknown_names(query: str, known: dict[str, set[str]]) -> list[str]:
    """Metrics, and labels of metrics, that the query names and nobody shows. Raises ValueError for no PromQL."""
    found: list[str] = []

    def visit(expression: Any) -> None:
        if isinstance(expression, promql_parser.VectorSelector):
            labels = {matcher.name for matcher in expression.matchers.matchers}
            if expression.name not in known:
                found.append(str(expression.name))
            else:
                found.extend(f"{expression.name}{{{label}}}" for label in sorted(labels - known[expression.name]))
        if isinstance(expression, promql_parser.AggregateExpr) and expression.modifier is not None:
            every = set().union(*known.values())
            found.extend(f"by ({label})" for label in expression.modifier.labels if label not in every)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def _texts() -> list[str]:
    return [_serving(), _verify(), exposition([_FOUND])]


def _serving() -> str:
    metrics = ServingMetrics()
    metrics.count_request(200, 0.001)
    doubtful: Any = SimpleNamespace(confidence="low", missing=["pages"], stale=[], out_of_bounds=[])
    metrics.count_predictions([doubtful])
    metrics.set_champion("books", "3", None)
    metrics.set_shadow("books", "4", None)
    metrics.count_shadow(1, 0.001)
    metrics.count_shadow_failure(1, ValueError())
    metrics.set_online_store_up(True)
    metrics.watch_queue(Queue())
    log: Any = SimpleNamespace(written=1, waiting=0, dropped=0, failed_writes=0)
    metrics.watch(log)
    return metrics.text().decode()


def _verify() -> str:
    metrics = VerifyMetrics()
    metrics.different.labels("loans", "pages", "behind").inc()
    return generate_latest(metrics.registry).decode()


_AT = datetime(2021, 12, 1, tzinfo=UTC)
_FOUND = Finding(_AT, _AT, _AT, "drift", "pages", "psi", 0.1, 0.25, Verdict.OK, "Seen.")
