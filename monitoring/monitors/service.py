"""Service: errors, latency, lost log rows, refused champions and resources, from the server's own metrics.

Counters run since the server started; that is the time that these findings speak of.
"""

import math
from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from larder.contracts.monitoring import Finding, Monitoring
from monitoring.monitors.window import Window, verdict_of

Sample = tuple[Mapping[str, str], float]
"""Labels and value."""


def service(window: Window, subject: str, text: str | None, limits: Monitoring) -> list[Finding]:
    """`text`: what the server's `/metrics` says, None where it cannot be reached."""
    if text is None:
        evidence = "The server cannot be reached; start it with `larder serve`."
        return [window.unknown("service", subject, "up", evidence)]
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return [
        *_errors(window, subject, found, limits),
        *_latency(window, subject, found, limits),
        *_troubles(window, subject, found),
        *_resources(window, subject, found),
    ]


def quantile(buckets: Mapping[float, float], rank: float) -> float:
    """Value below which a share `rank` of a histogram lies; straight lines within buckets, as Prometheus draws them.

    `buckets`: upper bound -> number up to it. What lies beyond the last finite bound counts as infinite.
    """
    bounds = sorted(buckets)
    wanted, below, low = rank * buckets[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if math.isinf(bound):
                return bound
            return low + (bound - low) * (wanted - below) / max(buckets[bound] - below, 1.0)
        below, low = buckets[bound], bound
    return bounds[-1]


def _errors(window: Window, subject: str, found: Mapping[str, list[Sample]], limits: Monitoring) -> Iterator[Finding]:
    requests = found.get("larder_requests_total", [])
    total = sum(count for _, count in requests)
    yield window.reported("service", subject, "requests", total, f"{total:,.0f} requests since the server started.")
    if total:
        errors = sum(count for labels, count in requests if labels.get("status", "").startswith("5"))
        share = errors / total
        verdict = verdict_of(share > limits.error_share)
        evidence = f"{errors:,.0f} of {total:,.0f} requests were answered with 5xx since the server started."
        yield window.judged("service", subject, "error_share", share, limits.error_share, verdict, evidence)


def _latency(window: Window, subject: str, found: Mapping[str, list[Sample]], limits: Monitoring) -> Iterator[Finding]:
    buckets = {float(labels["le"]): count for labels, count in found.get("larder_request_seconds_bucket", [])}
    if buckets and max(buckets.values()):
        milliseconds = quantile(buckets, 0.99) * 1000
        verdict = verdict_of(milliseconds > limits.latency_p99_ms)
        evidence = f"99 % of {max(buckets.values()):,.0f} requests were answered within {milliseconds:.1f} ms."
        yield window.judged(
            "service", subject, "latency_p99_ms", milliseconds, limits.latency_p99_ms, verdict, evidence
        )


def _troubles(window: Window, subject: str, found: Mapping[str, list[Sample]]) -> Iterator[Finding]:
    """What must not happen at all."""
    for name, metric, evidence in (
        ("larder_prediction_log_dropped", "dropped_rows", "{:,.0f} answers were lost to the prediction log."),
        ("larder_champion_refused", "champion_refused", "{:.0f} promoted versions cannot be served."),
    ):
        for _, value in found.get(name, []):
            verdict = verdict_of(value > 0)
            yield window.judged("service", subject, metric, value, 0.0, verdict, evidence.format(value))


def _resources(window: Window, subject: str, found: Mapping[str, list[Sample]]) -> Iterator[Finding]:
    for _, value in found.get("process_cpu_seconds_total", []):
        evidence = f"{value:,.1f} s of CPU time since the server started."
        yield window.reported("service", subject, "cpu_seconds", value, evidence)
    for _, value in found.get("process_resident_memory_bytes", []):
        evidence = f"{value / 1e6:,.0f} MB of memory."
        yield window.reported("service", subject, "memory_mb", value / 1e6, evidence)
