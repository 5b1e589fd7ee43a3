"""The latest findings as Prometheus reads them from a file (node exporter's textfile collector)."""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from larder.contracts.monitoring import Finding, Verdict
from larder.contracts.settings import Settings
from larder.whole_file import write_whole
from monitoring.reports.monitoring_report import MonitoringReport

FILE = Path("metrics", "larder_monitor.prom")
"""Below the state folder; the collector reads every `.prom` file of its directory."""

CODES = {Verdict.OK: 0, Verdict.UNKNOWN: 1, Verdict.ALARM: 2}

_LABELS = ("monitor", "subject", "metric")


def exposition(findings: Sequence[Finding]) -> str:
    """Value, limit and verdict of each finding of the latest run; a value that could not be told has no sample."""
    report, registry = MonitoringReport(findings), CollectorRegistry()
    value = Gauge("larder_monitor_value", "What the latest run measured", _LABELS, registry=registry)
    limit = Gauge("larder_monitor_limit", "Beyond it the value alarms", _LABELS, registry=registry)
    verdict = Gauge("larder_monitor_verdict", "0 ok, 1 cannot tell, 2 alarm", _LABELS, registry=registry)
    for item in report.latest:
        labels = (item.monitor, item.subject, item.metric)
        verdict.labels(*labels).set(CODES[item.verdict])
        if item.value is not None:
            value.labels(*labels).set(item.value)
        if item.limit is not None:
            limit.labels(*labels).set(item.limit)
    if report.run_at is not None:
        run = Gauge("larder_monitor_run_timestamp_seconds", "The latest run, by its clock", registry=registry)
        run.set(report.run_at.timestamp())
    return generate_latest(registry).decode()


def write_metrics(settings: Settings, findings: Sequence[Finding]) -> Path:
    """Write `<state>/metrics/larder_monitor.prom`, whole or not at all: a scrape never reads half of it."""
    path = settings.state / FILE
    write_whole(path, exposition(findings).encode())  # what it writes first is no *.prom, so no collector reads it
    return path
