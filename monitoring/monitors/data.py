"""Quality of the model's inputs, per feature: nulls, absent, out of range and unseen categories.

Each share alarms only when its lower confidence bound lies above the limit. The bounds hold for all features of a
monitor together (Bonferroni), at the declared rate of false alarms.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from larder.contracts.monitoring import Baseline, Finding, Monitoring, NumberBaseline, StringBaseline
from larder.distances import as_float32, string_counts
from larder.usual_windows import usual_nulls
from monitoring.monitors.answers import Answers, field, tallied
from monitoring.monitors.shares import lowest_share
from monitoring.monitors.window import Window, verdict_of


def nulls(window: Window, answers: Answers, baseline: Baseline, limits: Monitoring) -> list[Finding]:
    """Share of null values; the limit is training's share and the rise that is allowed."""
    found = _Shares(window, "nulls", "null_share", "null", limits, len(answers.model.plan.columns))
    return [
        found.judged(name, count, answers.count, usual_nulls(baseline, name), limits.null_increase)
        for name, count in _null_counts(answers, baseline).items()
    ]


def absent(window: Window, answers: Answers, baseline: Baseline, limits: Monitoring) -> list[Finding]:
    """Share of answers for which the online store had no value, or one past its ttl."""
    missing, stale = tallied(answers.rows["missing"]), tallied(answers.rows["stale"])
    found = _Shares(window, "absent", "absent_share", "missing or stale", limits, len(answers.model.plan.columns))
    return [
        found.judged(
            column.name,
            missing.get(column.name, 0) + stale.get(column.name, 0),
            answers.count,
            usual_nulls(baseline, column.name),
            limits.absent_share,
            note=f" ({missing.get(column.name, 0):,} missing, {stale.get(column.name, 0):,} stale)",
        )
        for column in answers.model.plan.columns
    ]


def out_of_range(window: Window, answers: Answers, baseline: Baseline, limits: Monitoring) -> list[Finding]:
    """Share of values far outside what training saw: beyond its extremes by more than `range_margin` of their width.

    A world that grows passes its old extremes a little, which drift tells; another unit leaps.
    """
    found = _Shares(window, "out_of_range", "out_of_range_share", "far out of range", limits, len(baseline.numbers))
    return [finding for name, known in baseline.numbers.items() for finding in _range(found, answers, name, known)]


def _range(found: "_Shares", answers: Answers, name: str, known: NumberBaseline) -> Iterator[Finding]:
    if name not in {column.name for column in answers.model.plan.columns} or not known.quantiles:
        return
    values = as_float32(field(answers.rows, "features", name))
    values = values[~np.isnan(values)]
    if not len(values):
        return
    low, high = known.quantiles[0], known.quantiles[-1]
    margin = found.limits.range_margin * (high - low)
    outside = int(((values < low - margin) | (values > high + margin)).sum())
    note = f" of training, {low:g} to {high:g}"
    yield found.judged(name, outside, len(values), 0.0, found.limits.out_of_range_share, note=note)


def categories(window: Window, answers: Answers, baseline: Baseline, limits: Monitoring) -> list[Finding]:
    """Share of a string feature's values that training never saw."""
    found = _Shares(window, "categories", "unseen_share", "never seen in training", limits, len(baseline.strings))
    return list(_categories(found, answers, baseline, limits))


def _categories(found: "_Shares", answers: Answers, baseline: Baseline, limits: Monitoring) -> Iterator[Finding]:
    for name, known in baseline.strings.items():
        counts = string_counts(field(answers.rows, "features", name))
        unseen = {value: count for value, count in counts.items() if value not in known.counts}
        rows = sum(counts.values())
        if rows:
            most = sorted(unseen, key=lambda value: -unseen[value])[:3]
            note = f", most often {', '.join(map(repr, most))}" if most else ""
            yield found.judged(name, sum(unseen.values()), rows, _usual_unseen(known), limits.unseen_share, note=note)


def _usual_unseen(known: StringBaseline) -> float:
    """Share of new values to expect where nothing changed: that of values seen once (Good 1953), and of the unnamed."""
    rows = sum(known.counts.values()) + known.other
    return (sum(count == 1 for count in known.counts.values()) + known.other) / rows if rows else 1.0


def _null_counts(answers: Answers, baseline: Baseline) -> dict[str, int]:
    counts = {}
    for column in answers.model.plan.columns:
        values = field(answers.rows, "features", column.name)
        if column.name in baseline.numbers:
            counts[column.name] = int(pc.sum(pc.is_null(values, nan_is_null=True)).as_py())
        elif column.name in baseline.strings:
            counts[column.name] = answers.count - sum(string_counts(values).values())
    return counts


class _Shares:
    """Judges the shares of one monitor's features."""

    def __init__(self, window: Window, monitor: str, metric: str, what: str, limits: Monitoring, features: int) -> None:
        self._window, self._monitor, self._metric, self._what = window, monitor, metric, what
        self.limits = limits
        self._error = limits.false_alarms / max(features, 1)

    def judged(self, name: str, count: int, rows: int, usual: float, allowed: float, *, note: str = "") -> Finding:
        limit = usual + allowed
        verdict = verdict_of(lowest_share(count, rows, error=self._error) > limit)
        evidence = f"{count:,} of {rows:,} values are {self._what}{note}; up to {usual:.1%} are usual."
        return self._window.judged(self._monitor, name, self._metric, count / rows, limit, verdict, evidence)
