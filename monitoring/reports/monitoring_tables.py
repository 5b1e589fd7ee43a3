"""The monitoring page's tables: what each monitor found last, and how it came to that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from larder.contracts.monitoring import Finding, Verdict
from monitoring.reports.monitoring_report import TITLES, MonitoringReport, excess

PLOTTED = ("drift", "quality", "expected_quality")
"""Monitors that have plots of their own."""
WORST_FIRST = {"roc_auc": 1, "mae": -1}
"""Metric that slices are judged by -> 1 where the lowest is worst, -1 where the highest is."""
MOST_SUBJECTS = 10
MOST_SLICE_VALUES = 8
WIDTH, HEIGHT = 120, 22


@dataclass(frozen=True)
class Check:
    """The newest value of one subject, with those before it."""

    finding: Finding
    trend: Markup
    """A small line; empty when there is only one value."""


@dataclass(frozen=True)
class MonitorTable:
    monitor: str
    title: str
    checks: tuple[Check, ...]
    unlisted: int
    """Subjects farther from their limits than those shown."""

    @property
    def several(self) -> bool:
        """Whether a subject alone does not say what was measured."""
        return len({check.finding.metric for check in self.checks}) > 1


def checks(report: MonitoringReport) -> list[MonitorTable]:
    """What the latest run found, by monitor; alarms first, then what could not be told, then the nearest to a limit."""
    return [_table(report, monitor) for monitor in report.monitors if monitor not in PLOTTED]


def slices(report: MonitoringReport) -> dict[str, list[Finding]]:
    """Slice -> ROC-AUC, or mean absolute error, of its values in the newest window that any has one, worst first."""
    found = [item for item in report.of("quality") if item.metric in WORST_FIRST and "=" in item.subject]
    newest = max((item.window_end for item in found), default=None)
    groups: dict[str, list[Finding]] = {}
    for item in sorted(
        found, key=lambda item: WORST_FIRST[item.metric] * (math.inf if item.value is None else item.value)
    ):
        if item.window_end == newest:
            groups.setdefault(item.subject.partition("=")[0], []).append(item)
    return {name: items[:MOST_SLICE_VALUES] for name, items in groups.items()}


def _table(report: MonitoringReport, monitor: str) -> MonitorTable:
    series: dict[tuple[str, str], list[Finding]] = {}
    for item in report.of(monitor):
        series.setdefault((item.subject, item.metric), []).append(item)
    latest = sorted(
        (items for items in series.values() if items[-1].run_at == report.run_at),
        key=lambda items: (_order(items[-1]), -excess(items[-1])),
    )
    shown = tuple(Check(items[-1], _trend(items)) for items in latest[:MOST_SUBJECTS])
    return MonitorTable(monitor, TITLES.get(monitor, monitor), shown, len(latest[MOST_SUBJECTS:]))


def _order(item: Finding) -> int:
    return [Verdict.ALARM, Verdict.UNKNOWN, Verdict.OK].index(item.verdict)


def _trend(items: Sequence[Finding]) -> Markup:
    values = [item.value for item in items if item.value is not None and math.isfinite(item.value)]
    if len(values) < 2:
        return Markup()
    low, high = min(values), max(values)
    scale = (HEIGHT - 4) / (high - low) if high > low else 0.0
    step = WIDTH / (len(values) - 1)
    points = "L".join(
        f"{step * index:.1f} {HEIGHT - 2 - (value - low) * scale:.1f}" for index, value in enumerate(values)
    )
    return Markup(
        '<svg class="trend" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true"><path d="M{}"/></svg>'
    ).format(WIDTH, HEIGHT, points)
