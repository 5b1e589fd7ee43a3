"""Quality on answers whose outcome is known, per model version, for all live traffic, and by declared slices.

Some weeks are harder than others, for every model: ROC-AUC and losses move by more than any decay worth a name. So a
metric alarms only when its whole interval is worse, by more than the declared decay, than both of two references:
what the model reached when it was judged, and what its own probabilities promise for these very answers (a predicted
number promises nothing). Losses that the model reached are taken as shares of what the best constant answer would lose,
since that moves too. A model that answers vaguely because its inputs are gone keeps its promise; the monitors of inputs
see that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.monitoring import Baseline, Finding, Monitoring, Verdict
from larder.contracts.objective import CLASSIFICATION, REGRESSION, TITLES, Objective, Slice
from larder.evaluation import Floats, Outcomes, Task, slice_values, task_of
from larder.predictions import LIVE, OUTCOME, SHADOW
from monitoring.monitors.expectation import expected_roc_auc
from monitoring.monitors.resampling import Samples, interval, roc_auc_samples, samples
from monitoring.monitors.window import Window, verdict_of

REPORTED = {CLASSIFICATION: ("calibration_error",), REGRESSION: ("r2", "rmse", "bias")}
"""Never judged. A sample calibrates worse than its population, so its bootstrap would be biased; the others say in
another way what the losses say."""

_HOUR_MICROSECONDS = 3_600_000_000

FEW_HOURS = 5
"""Of fewer hours an interval over whole hours says nothing: that of a single one has no width."""


@dataclass(frozen=True)
class Matured:
    """Answers with their outcomes, and the block of time of each."""

    outcome: Outcomes
    predicted: Floats
    hours: npt.NDArray[np.int64]

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Matured":
        return Matured(self.outcome[chosen], self.predicted[chosen], self.hours[chosen])

    @property
    def hours_answered(self) -> int:
        return len(np.unique(self.hours))

    @property
    def is_judgeable(self) -> bool:
        """Outcomes that are all the same say nothing, nor do those of a few hours."""
        return self.hours_answered >= FEW_HOURS and bool((self.outcome != self.outcome[0]).any())


@dataclass(frozen=True)
class Judge:
    """What all quality is judged by."""

    window: Window
    objective: Objective
    limits: Monitoring
    baseline_of: Callable[[str], Baseline | None]
    """Version -> what its model reached when it was judged; None where its bundle does not say."""

    costs_of: Callable[[str], Mapping[str, float]]
    """Version -> costs of the KPI by which it was judged; empty where its bundle does not say."""

    @property
    def task(self) -> Task:
        return task_of(self.objective)

    def of(self, version: str) -> "Judge":
        """By the costs of a version: those that are declared now may be meant for the next one."""
        return replace(self, objective=self.objective.with_costs(self.costs_of(version)))


def quality(judge: Judge, rows: pa.Table) -> list[Finding]:
    """`rows`: as `larder.predictions.judged` returns them, with the columns of the slices.

    Live traffic as a whole is compared with the baseline of the version that answered last, and by its costs.
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
                found += _quality(judge.of(version), subject, matured(judge.task, part), judge.baseline_of(version))
    live = rows.filter(pc.equal(rows["traffic"], LIVE))
    if live.num_rows:
        newest = live["version"][-1].as_py()
        judge, baseline, answered = judge.of(newest), judge.baseline_of(newest), matured(judge.task, live)
        found += _quality(judge, LIVE, answered, baseline)
        for part in judge.objective.slices:
            values = slice_values(part, live[f"label_{part.column}"])
            found += _slices(judge, part, values, answered, baseline)
    return found


def matured(task: Task, rows: pa.Table) -> Matured:
    """Of rows that all have an outcome."""
    return Matured(
        outcome=task.outcomes(rows, OUTCOME),
        predicted=rows[task.predicted].to_numpy(),
        hours=rows["at"].cast(pa.int64()).to_numpy() // _HOUR_MICROSECONDS,
    )


def _quality(judge: Judge, subject: str, rows: Matured, baseline: Baseline | None) -> Iterator[Finding]:
    window, count = judge.window, len(rows.outcome)
    if count < judge.limits.minimum_rows or not rows.is_judgeable:
        evidence = (
            f"{count:,} answers with an outcome, {_told_apart(judge.task, rows)}, given in {rows.hours_answered:,} "
            f"different hours; quality is judged from {judge.limits.minimum_rows:,} on, with different outcomes among "
            f"them and in {FEW_HOURS} hours at least."
        )
        yield window.unknown("quality", subject, "rows", evidence)
        return
    if baseline is None:
        yield window.unknown("quality", subject, "baseline", "The bundle has no baseline; promote a newer model.")
    values = judge.task.metrics(rows.outcome, rows.predicted)
    drawn = samples(judge.task, rows.outcome, rows.predicted, rows.hours)
    yield window.reported("quality", subject, "outcomes", count, f"{count:,} answers have an outcome.")
    for metric in REPORTED[judge.task.name]:
        evidence = f"{TITLES[metric]} {values[metric]:.4f}."
        yield window.reported("quality", subject, metric, values[metric], evidence)
    if drawn.roc_auc is not None:
        yield _roc_auc(judge, subject, rows, values["roc_auc"], drawn.roc_auc, baseline)
    for metric in drawn.losses:
        yield _loss(judge, subject, metric, values[metric], drawn, baseline)


def _told_apart(task: Task, rows: Matured) -> str:
    if task.name == CLASSIFICATION:
        return f"{int(rows.outcome.sum()):,} of them true"
    return f"{len(np.unique(rows.outcome)):,} different ones"


def _roc_auc(
    judge: Judge, subject: str, rows: Matured, value: float, drawn: Floats, baseline: Baseline | None
) -> Finding:
    low, high = interval(drawn, judge.limits.confidence)
    evidence = f"ROC-AUC {value:.4f}, {judge.limits.confidence:.0%} interval {low:.4f} to {high:.4f}"
    if baseline is None:
        return judge.window.reported("quality", subject, "roc_auc", value, f"{evidence}.")
    usual, expected = baseline.metrics["roc_auc"], expected_roc_auc(rows.predicted)
    limit = min(usual, expected) - judge.limits.auc_decay
    evidence += f"; {usual:.4f} when the model was judged, {expected:.4f} promised by its probabilities."
    return judge.window.judged("quality", subject, "roc_auc", value, limit, verdict_of(high < limit), evidence)


def _loss(judge: Judge, subject: str, metric: str, value: float, drawn: Samples, baseline: Baseline | None) -> Finding:
    confidence = judge.limits.confidence
    low, high = interval(drawn.losses[metric], confidence)
    evidence = f"{TITLES[metric]} {value:.4f}, {confidence:.0%} interval {low:.4f} to {high:.4f}"
    if baseline is None or metric not in baseline.constant:
        return judge.window.reported("quality", subject, metric, value, f"{evidence}.")
    usual, usual_constant = baseline.metrics[metric], baseline.constant[metric]
    skill = usual / usual_constant if usual_constant else 1.0
    constant, expected = drawn.constant_of_all[metric], drawn.expected_of_all.get(metric)
    worst = 1 + judge.limits.quality_decay
    limit = max(skill * constant, expected or 0.0) * worst
    references = np.maximum(skill * drawn.constant[metric], drawn.expected.get(metric, 0.0))
    # Where true outcomes are rare a loss rises and falls with their number, and the references with it: the interval of
    # the loss alone may hold the limit while that of the ratio lies beyond it.
    # Without a reference, as where all answers are right, there is no ratio.
    nothing = np.full(len(references), np.nan)
    ratios = np.divide(drawn.losses[metric], references, out=nothing, where=references > 0)
    least, most = interval(ratios, confidence)
    promised = "" if expected is None else f", and its probabilities promised {expected:.4f}"
    evidence += (
        f"; the best constant answer would have {constant:.4f}. When the model was judged it had {usual:.4f} where a "
        f"constant had {usual_constant:.4f}{promised}. "
        f"On the same answers that is {least:.2f} to {most:.2f} times what was to be expected; all of it over "
        f"{worst:g} alarms."
    )
    return judge.window.judged("quality", subject, metric, value, limit, verdict_of(least > worst), evidence)


def _slices(
    judge: Judge, part: Slice, values: npt.NDArray[np.object_], rows: Matured, baseline: Baseline | None
) -> Iterator[Finding]:
    """`values`: the slice's value of each of the rows."""
    for value in sorted(set(values)):
        own = rows.only(values == value)
        if len(own.outcome) >= max(part.minimum_rows, judge.limits.minimum_rows) and own.is_judgeable:
            yield from _slice(judge, f"{part.name}={value}", own, baseline)


def _slice(judge: Judge, subject: str, rows: Matured, baseline: Baseline | None) -> Iterator[Finding]:
    """ROC-AUC, an alarm where half of what the model has over chance is lost, or the error of numbers; and the KPI."""
    values = judge.task.metrics(rows.outcome, rows.predicted)
    if judge.task.name == CLASSIFICATION:
        yield _slice_roc_auc(judge, subject, rows, values["roc_auc"], baseline)
    else:
        # What is usual for a slice of numbers nobody has kept, and slices differ in size and in what can be foretold.
        evidence = f"Mean absolute error {values['mae']:.4f}, among {len(rows.outcome):,} answers."
        yield judge.window.reported("quality", subject, "mae", values["mae"], evidence)
    cost = values["kpi"]
    yield judge.window.reported("quality", subject, "kpi", cost, f"{cost:.2f} {judge.objective.kpi.unit}.")


def _slice_roc_auc(judge: Judge, subject: str, rows: Matured, value: float, baseline: Baseline | None) -> Finding:
    low, high = interval(roc_auc_samples(rows.outcome, rows.predicted, rows.hours), judge.limits.confidence)
    evidence = f"ROC-AUC {value:.4f}, {judge.limits.confidence:.0%} interval {low:.4f} to {high:.4f}, among "
    evidence += f"{len(rows.outcome):,} answers."
    limit = None if baseline is None else (baseline.metrics["roc_auc"] + 0.5) / 2
    if limit is not None and high < limit:
        evidence += " Half of what the model has over chance is lost here."
        return judge.window.judged("quality", subject, "roc_auc", value, limit, Verdict.ALARM, evidence)
    return judge.window.reported("quality", subject, "roc_auc", value, evidence)
