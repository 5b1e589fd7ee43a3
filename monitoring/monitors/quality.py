"""Quality on answers whose outcome is known, per model version, for all live traffic, and by declared slices.

Some weeks are harder than others, for every model: ROC-AUC and losses move by more than any decay worth a name. So a
metric alarms only when its whole interval is worse, by more than the declared decay, than both of two references:
what the model reached when it was judged, and what its own probabilities promise for these very answers. Losses that
the model reached are taken as shares of what a constant that knows the base rate would lose, since that moves too.
A model that answers vaguely because its inputs are gone keeps its promise; the monitors of inputs see that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.monitoring import Baseline, Finding, Monitoring, Verdict
from larder.contracts.objective import Kpi, Objective, Slice
from larder.evaluation import SMALLEST, Outcomes, Probabilities, metrics, slice_values
from larder.predictions import LIVE, OUTCOME, SHADOW
from monitoring.monitors.expectation import expected_roc_auc
from monitoring.monitors.resampling import Samples, expected_losses, interval, samples
from monitoring.monitors.window import Window, verdict_of

Floats = npt.NDArray[np.float64]

_HOUR_MICROSECONDS = 3_600_000_000


@dataclass(frozen=True)
class Matured:
    """Answers with their outcomes, and the block of time of each."""

    outcome: Outcomes
    predicted: Probabilities
    hours: npt.NDArray[np.int64]

    @property
    def has_both_outcomes(self) -> bool:
        return 0 < int(self.outcome.sum()) < len(self.outcome)


@dataclass(frozen=True)
class Judge:
    """What all quality is judged by."""

    window: Window
    objective: Objective
    limits: Monitoring
    baseline_of: Callable[[str], Baseline | None]
    """Version -> what its model reached when it was judged; None where its bundle does not say."""


def quality(judge: Judge, rows: pa.Table) -> list[Finding]:
    """`rows`: as `larder.predictions.judged` returns them, with the columns of the slices.

    Live traffic as a whole is compared with the baseline of the version that answered last.
    """
    rows = rows.filter(pc.is_valid(rows[OUTCOME]))
    if not rows.num_rows:
        evidence = "No answer of the window has an outcome yet."
        return [judge.window.unknown("quality", LIVE, "rows", evidence)]
    found: list[Finding] = []
    for version in pc.unique(rows["version"]).to_pylist():
        own = rows.filter(pc.equal(rows["version"], version))
        for traffic, subject in ((LIVE, version), (SHADOW, f"{version} shadow")):
            part = own.filter(pc.equal(own["traffic"], traffic))
            if part.num_rows:
                found += _quality(judge, subject, matured(part), judge.baseline_of(version))
    live = rows.filter(pc.equal(rows["traffic"], LIVE))
    if live.num_rows:
        baseline = judge.baseline_of(live["version"][-1].as_py())
        found += _quality(judge, LIVE, matured(live), baseline)
        found += [finding for part in judge.objective.slices for finding in _slices(judge, part, live, baseline)]
    return found


def matured(rows: pa.Table) -> Matured:
    """Of rows that all have an outcome."""
    return Matured(
        outcome=rows[OUTCOME].to_numpy().astype(np.int8),
        predicted=rows["probability"].to_numpy(),
        hours=rows["at"].cast(pa.int64()).to_numpy() // _HOUR_MICROSECONDS,
    )


def _quality(judge: Judge, subject: str, rows: Matured, baseline: Baseline | None) -> Iterator[Finding]:
    window, count = judge.window, len(rows.outcome)
    if count < judge.limits.minimum_rows or not rows.has_both_outcomes:
        evidence = (
            f"{count:,} answers with an outcome, {int(rows.outcome.sum()):,} of them true; quality is judged from "
            f"{judge.limits.minimum_rows:,} on, with both outcomes among them."
        )
        yield window.unknown("quality", subject, "rows", evidence)
        return
    if baseline is None:
        yield window.unknown("quality", subject, "baseline", "The bundle has no baseline; promote a newer model.")
    values = metrics(rows.outcome, rows.predicted, judge.objective.kpi)
    drawn = samples(rows.outcome, rows.predicted, rows.hours, judge.objective.kpi)
    yield window.reported("quality", subject, "outcomes", count, f"{count:,} answers have an outcome.")
    # Reported only: a sample calibrates worse than its population, so the bootstrap would be biased.
    error = values["calibration_error"]
    yield window.reported("quality", subject, "calibration_error", error, f"Calibration error {error:.4f}.")
    yield _roc_auc(judge, subject, rows, values["roc_auc"], drawn, baseline)
    for metric in ("log_loss", "brier", "kpi"):
        yield _loss(judge, subject, metric, rows, values[metric], drawn, baseline)


def _roc_auc(
    judge: Judge, subject: str, rows: Matured, value: float, drawn: Samples, baseline: Baseline | None
) -> Finding:
    low, high = interval(drawn.roc_auc, judge.limits.confidence)
    evidence = f"ROC-AUC {value:.4f}, {judge.limits.confidence:.0%} interval {low:.4f} to {high:.4f}"
    if baseline is None:
        return judge.window.reported("quality", subject, "roc_auc", value, f"{evidence}.")
    usual, expected = baseline.metrics["roc_auc"], expected_roc_auc(rows.predicted)
    limit = min(usual, expected) - judge.limits.auc_decay
    evidence += f"; {usual:.4f} when the model was judged, {expected:.4f} promised by its probabilities."
    return judge.window.judged("quality", subject, "roc_auc", value, limit, verdict_of(high < limit), evidence)


def _loss(
    judge: Judge, subject: str, metric: str, rows: Matured, value: float, drawn: Samples, baseline: Baseline | None
) -> Finding:
    confidence, share = judge.limits.confidence, float(rows.outcome.mean())
    low, high = interval(drawn.losses[metric], confidence)
    evidence = f"{metric} {value:.4f}, {confidence:.0%} interval {low:.4f} to {high:.4f}, with {share:.1%} true"
    if baseline is None:
        return judge.window.reported("quality", subject, metric, value, f"{evidence}.")
    kpi, usual = judge.objective.kpi, baseline.metrics[metric]
    skill = usual / constant_loss(metric, baseline.positives, kpi)
    expected = float(expected_losses(rows.predicted, kpi)[metric].mean())
    limit = max(skill * constant_loss(metric, share, kpi), expected) * (1 + judge.limits.quality_decay)
    references = np.maximum(skill * constant_loss(metric, drawn.positives, kpi), drawn.expected[metric])
    worst = 1 + judge.limits.quality_decay
    # Where true outcomes are rare a loss rises and falls with their number, and the references with it: the interval of
    # the loss alone may hold the limit while that of the ratio lies beyond it.
    least, most = interval(drawn.losses[metric] / references, confidence)
    evidence += (
        f"; {usual:.4f} with {baseline.positives:.1%} when the model was judged, {expected:.4f} promised. On the "
        f"same answers that is {least:.2f} to {most:.2f} times the larger of the two; all of it over {worst:g} alarms."
    )
    return judge.window.judged("quality", subject, metric, value, limit, verdict_of(least > worst), evidence)


def constant_loss(metric: str, positives: Any, kpi: Kpi) -> Any:
    """Mean loss of the best constant where that share of outcomes is true: entropy, variance, or the cheaper act."""
    share = np.clip(positives, SMALLEST, 1 - SMALLEST)
    if metric == "log_loss":
        return -(share * np.log(share) + (1 - share) * np.log(1 - share))
    if metric == "brier":
        return share * (1 - share)
    return np.minimum(share * kpi.miss, (1 - share) * kpi.false_alarm)


def _slices(judge: Judge, part: Slice, live: pa.Table, baseline: Baseline | None) -> Iterator[Finding]:
    values = slice_values(part, live[f"label_{part.column}"])
    rows = matured(live)
    for value in sorted(set(values)):
        chosen = values == value
        own = Matured(rows.outcome[chosen], rows.predicted[chosen], rows.hours[chosen])
        if len(own.outcome) >= max(part.minimum_rows, judge.limits.minimum_rows) and own.has_both_outcomes:
            yield from _slice(judge, f"{part.name}={value}", own, baseline)


def _slice(judge: Judge, subject: str, rows: Matured, baseline: Baseline | None) -> Iterator[Finding]:
    """ROC-AUC, an alarm where half of what the model has over chance is lost, and the KPI."""
    values = metrics(rows.outcome, rows.predicted, judge.objective.kpi)
    drawn = samples(rows.outcome, rows.predicted, rows.hours, judge.objective.kpi)
    low, high = interval(drawn.roc_auc, judge.limits.confidence)
    value = values["roc_auc"]
    evidence = f"ROC-AUC {value:.4f}, {judge.limits.confidence:.0%} interval {low:.4f} to {high:.4f}, among "
    evidence += f"{len(rows.outcome):,} answers."
    limit = None if baseline is None else (baseline.metrics["roc_auc"] + 0.5) / 2
    if limit is not None and high < limit:
        evidence += " Half of what the model has over chance is lost here."
        yield judge.window.judged("quality", subject, "roc_auc", value, limit, Verdict.ALARM, evidence)
    else:
        yield judge.window.reported("quality", subject, "roc_auc", value, evidence)
    cost = values["kpi"]
    yield judge.window.reported("quality", subject, "kpi", cost, f"{cost:.2f} {judge.objective.kpi.unit}.")
