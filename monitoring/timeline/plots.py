"""The monitoring page's plots, made from findings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from markupsafe import Markup

from larder.contracts.monitoring import PREDICTION, Finding, Verdict
from larder.contracts.tables import LIVE
from monitoring.reports.formats import number
from monitoring.reports.monitoring_report import DRIFT_METRICS, TITLES, MonitoringReport, excess, worst
from monitoring.timeline.axis import TimeAxis, period
from monitoring.timeline.heat_map import STRENGTHS, Cell, HeatRow, heat_map
from monitoring.timeline.lines import Line, Point, line_plot
from monitoring.timeline.served import Mark, Served

MOST_FEATURES = 24
QUALITY = ("roc_auc", "log_loss", "r2", "mae", "kpi", "brier", "calibration_error", "rmse", "bias")
SHADOW = " shadow"


@dataclass(frozen=True)
class DriftMap:
    plot: Markup
    metric: str
    """That colours it; empty when no feature was looked at."""
    unlisted: int
    """Features that drifted less than those shown."""


@dataclass(frozen=True)
class MonitoringPlots:
    """All on one axis, before the same versions; each empty where nothing was found."""

    report: MonitoringReport
    axis: TimeAxis
    served: Sequence[Served] = ()
    marks: Sequence[Mark] = ()

    def overview(self) -> Markup:
        """Each monitor's worst verdict per window."""
        rows = [HeatRow(TITLES.get(name, name), _cells(self.report.of(name), "")) for name in self.report.monitors]
        return heat_map(self.axis, "Verdict of each monitor in each window", rows)

    def quality(self) -> list[Markup]:
        """Of what was answered, one plot per metric, the shadow's beside it."""
        return self._plots(self._quality_lines)

    def expectation(self) -> list[Markup]:
        """What was expected before labels came, beside what was measured later."""
        return self._plots(self._expected_lines)

    def drift(self) -> DriftMap:
        """The features that drifted most, by window; a window that could not be judged is so for all of them."""
        found = [item for item in self.report.of("drift") if item.subject != PREDICTION]
        whole = [item for item in found if item.metric not in DRIFT_METRICS]
        metric = _first_metric(found)
        features: dict[str, list[Finding]] = {} if metric else {"all features": []}
        for item in found:
            if item.metric in DRIFT_METRICS:
                features.setdefault(item.subject, []).append(item)
        ordered = sorted(features, key=lambda name: _drifted(features[name], metric), reverse=True)
        rows = [HeatRow(name, _cells([*features[name], *whole], metric)) for name in ordered[:MOST_FEATURES]]
        plot = heat_map(self.axis, f"{metric} of each feature in each window", rows) if found else Markup()
        return DriftMap(plot, metric, len(ordered[MOST_FEATURES:]))

    def prediction(self) -> Markup:
        found = self.report.of("drift", subject=PREDICTION)
        metric = _first_metric(found)
        points = _points(found, metric)
        return line_plot(self.axis, f"prediction {metric}", [Line("", points)], served=self.served, marks=self.marks)

    def _plots(self, lines: Callable[[str], list[Line]]) -> list[Markup]:
        drawn = [
            line_plot(self.axis, metric, lines(metric), served=self.served, marks=self.marks)
            for metric in QUALITY
            if lines(metric)
        ]
        return [plot for plot in drawn if plot]

    def _quality_lines(self, metric: str) -> list[Line]:
        found = [item for item in self.report.of("quality") if "=" not in item.subject]
        shadow = [item for item in found if item.subject.endswith(SHADOW)]
        answered = [item for item in found if item.subject == LIVE]
        lines = [Line("answered", _points(answered, metric)), Line("shadow", _points(shadow, metric), is_quiet=True)]
        return [line for line in lines if line.points]

    def _expected_lines(self, metric: str) -> list[Line]:
        expected = _points(self.report.of("expected_quality"), metric)
        measured = _points(self.report.of("quality", subject=LIVE), metric)
        lines = [Line("expected", expected), Line("measured later", measured, is_quiet=True)]
        return [line for line in lines if line.points] if any(point.value is not None for point in expected) else []


def _first_metric(items: Sequence[Finding]) -> str:
    return next((name for name in DRIFT_METRICS if any(item.metric == name for item in items)), "")


def _drifted(items: Sequence[Finding], metric: str) -> tuple[int, float]:
    """Alarms first, then the largest value ever."""
    alarms = len({item.window_end for item in items if item.verdict == Verdict.ALARM})
    return alarms, max((item.value or 0.0 for item in items if item.metric == metric), default=0.0)


def _points(items: Iterable[Finding], metric: str) -> tuple[Point, ...]:
    """One per window: the metric, or why it is lacking."""
    chosen: dict[datetime, Finding] = {}
    for item in items:
        if item.metric == metric or (item.verdict == Verdict.UNKNOWN and item.window_end not in chosen):
            chosen[item.window_end] = item
    return tuple(
        Point(item.window_end, item.value, _title(item), limit=item.limit, is_alarm=item.verdict == Verdict.ALARM)
        for _, item in sorted(chosen.items())
    )


def _title(item: Finding) -> str:
    return f"{period(item.window_start, item.window_end)}: {item.metric} {number(item.value)}. {item.evidence}"


def _cells(items: Sequence[Finding], metric: str) -> tuple[Cell, ...]:
    """One per window, which begins where the one before ends; how strong its colour is, `metric` says."""
    cells: list[Cell] = []
    for end, group in groupby(sorted(items, key=lambda item: item.window_end), key=lambda item: item.window_end):
        found = list(group)
        start = max([min(item.window_start for item in found), *(cell.end for cell in cells[-1:])])
        near = max((excess(item) for item in found if item.metric == metric), default=0.0)
        strength = min(int(min(near, 1.0) * STRENGTHS), STRENGTHS - 1)
        cells.append(Cell(start, end, worst(found), strength, _worst_evidence(found)))
    return tuple(cells)


def _worst_evidence(items: Sequence[Finding]) -> str:
    verdict = worst(items)
    bad = [item for item in items if item.verdict == verdict]
    others = len({item.subject for item in bad}) - 1
    return f"{verdict}, {bad[0].subject}: {bad[0].evidence}" + (f" And {others} more." if others else "")
