"""What the monitoring page shows, chosen from findings: the latest run's verdict, and how each value came to be."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from larder.contracts.monitoring import Finding, Verdict

TITLES = {
    "freshness": "freshness",
    "volume": "number of predictions",
    "nulls": "nulls",
    "absent": "missing or stale features",
    "out_of_range": "values out of range",
    "categories": "unseen categories",
    "skew": "skew",
    "labels": "labels",
    "drift": "drift",
    "expected_quality": "expected quality",
    "quality": "quality",
    "service": "service",
}
"""Monitor -> what a reader calls it, in the order of the page."""

DRIFT_METRICS = ("psi", "jensen_shannon", "wasserstein", "kolmogorov_smirnov")
"""The first that was measured colours the heat map."""

_BADNESS = {Verdict.OK: 0, Verdict.UNKNOWN: 1, Verdict.ALARM: 2}


@dataclass(frozen=True)
class Alarm:
    """All alarms of one monitor about one subject in the latest run."""

    monitor: str
    subject: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Untold:
    """What one monitor could not tell for one reason."""

    monitor: str
    reason: str
    subjects: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.subjects)


@dataclass(frozen=True)
class MonitoringReport:
    """Findings of the runs to show, any number; those of one window and subject at most once per metric."""

    findings: Sequence[Finding]

    @cached_property
    def run_at(self) -> datetime | None:
        """The instant of the latest run; None when there was none."""
        return max((item.run_at for item in self.findings), default=None)

    @cached_property
    def latest(self) -> list[Finding]:
        return [item for item in self.findings if item.run_at == self.run_at]

    @cached_property
    def alarms(self) -> list[Alarm]:
        """Of the latest run; in the order of TITLES, quality first, the farthest beyond its limit first."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for item in self.latest:
            if item.verdict == Verdict.ALARM:
                groups.setdefault((item.monitor, item.subject), []).append(item)
        found = [Alarm(monitor, subject, tuple(items)) for (monitor, subject), items in groups.items()]
        return sorted(found, key=lambda alarm: (-_rank(alarm.monitor), -max(map(excess, alarm.findings))))

    @cached_property
    def untold(self) -> list[Untold]:
        """Of the latest run: by monitor and reason."""
        groups: dict[tuple[str, str], dict[str, None]] = {}
        for item in self.latest:
            if item.verdict == Verdict.UNKNOWN:
                groups.setdefault((item.monitor, item.evidence), {})[item.subject] = None
        found = [Untold(monitor, reason, tuple(subjects)) for (monitor, reason), subjects in groups.items()]
        return sorted(found, key=lambda item: _rank(item.monitor))

    def of(self, monitor: str, *, metric: str | None = None, subject: str | None = None) -> list[Finding]:
        """By end of window."""
        return [
            item
            for item in self._by_monitor.get(monitor, [])
            if metric in (None, item.metric) and subject in (None, item.subject)
        ]

    def metrics(self, monitor: str) -> list[str]:
        return list(dict.fromkeys(item.metric for item in self.of(monitor)))

    @cached_property
    def monitors(self) -> list[str]:
        """Those that found anything, in the order of the page."""
        return sorted(self._by_monitor, key=_rank)

    @cached_property
    def _by_monitor(self) -> dict[str, list[Finding]]:
        groups: dict[str, list[Finding]] = {}
        for item in sorted(self.findings, key=lambda item: item.window_end):
            groups.setdefault(item.monitor, []).append(item)
        return groups


def excess(item: Finding) -> float:
    """How many times its limit a value is; 0 where that cannot be said."""
    if item.value is None or not item.limit or math.isnan(item.value):
        return 0.0
    return abs(item.value / item.limit)


def worst(items: Iterable[Finding]) -> Verdict:
    """ALARM if any alarms, else UNKNOWN if any could not be told."""
    return max((item.verdict for item in items), key=_BADNESS.__getitem__)


def sentence(report: MonitoringReport) -> str:
    """The verdict of the latest run in one sentence."""
    total, untold = len(report.latest), sum(len(item.subjects) for item in report.untold)
    if report.run_at is None:
        return "No monitor has run yet, so nothing is known: `larder monitor` makes the first run."
    if report.alarms:
        groups: dict[str, list[str]] = {}
        for alarm in report.alarms:
            groups.setdefault(alarm.monitor, []).append(alarm.subject)
        parts = [f"{TITLES.get(monitor, monitor)} ({listed(subjects)})" for monitor, subjects in groups.items()]
        rest = f"; {counted(untold, 'thing')} could not be told" if untold else ""
        return f"{counted(len(report.alarms), 'alarm')}: {', '.join(parts)}{rest}."
    if untold == 0:
        return f"All is well: {counted(total, 'value')} judged or reported, none beyond its limit."
    if all(item.verdict == Verdict.UNKNOWN for item in report.latest):
        return f"Nothing could be told: {report.untold[0].reason}"
    return f"No alarm, but {counted(untold, 'thing')} could not be told, among {total:,}."


def listed(subjects: Sequence[str], most: int = 3) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(subjects[:most])
    return shown if len(subjects) <= most else f"{shown} and {len(subjects) - most} more"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _rank(monitor: str) -> int:
    names = list(TITLES)
    return names.index(monitor) if monitor in TITLES else len(names)
