"""A model judged: its metrics beside those of others, and where it is better and worse."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from larder.contracts.errors import InvalidDataError
from larder.contracts.objective import CLASSIFICATION, Objective
from larder.evaluation.curves import CalibrationCurve, RocCurve, calibration_curve, roc_curve
from larder.evaluation.fairness import fairness
from larder.evaluation.slices import SliceScore, slice_scores
from larder.evaluation.task import Floats, task_of


@dataclass(frozen=True)
class Evaluation:
    rows: int
    metrics: dict[str, float]
    references: dict[str, dict[str, float] | None]
    """Metrics of plainer models and of the champion on the same rows; None where that could not be judged."""
    kpi_without_model: float
    """KPI of the best constant answer, known only afterwards."""
    slices: list[SliceScore]
    roc: RocCurve | None
    """None where numbers are predicted."""
    calibration: CalibrationCurve
    fairness: dict[str, dict[str, float]] = field(default_factory=dict)
    """Protected slice -> metric of `larder.contracts.objective.FAIRNESS` -> value."""
    reference_slices: dict[str, list[SliceScore]] = field(default_factory=dict)
    """`slices` of each of `references` that there is, in the same order."""
    champion_unjudged: str = ""
    """Why the champion is none of `references`, in words."""


def evaluation(
    objective: Objective,
    test: pa.Table,
    predicted: Floats,
    references: Mapping[str, Floats | None],
    *,
    champion_unjudged: str = "",
) -> Evaluation:
    """Judge `predicted`, one prediction per test row, beside those of each reference.

    Raises InvalidDataError when the test labels are all the same.
    """
    task = task_of(objective)
    outcome = task.outcomes(test, objective.label.column)
    if len(np.unique(outcome)) < 2:
        raise InvalidDataError(
            f"All {len(outcome)} test labels {objective.label.column!r} are the same, so no model can be judged. "
            "Move split_at and test_until in the training file."
        )

    def slices(of: Floats) -> list[SliceScore]:
        return [score for part in objective.slices for score in slice_scores(part, test, task, outcome, of)]

    others = {name: other for name, other in references.items() if other is not None}
    return Evaluation(
        rows=len(outcome),
        metrics=task.metrics(outcome, predicted),
        references=dict.fromkeys(references) | {name: task.metrics(outcome, of) for name, of in others.items()},
        kpi_without_model=float(task.constant_losses(outcome)["kpi"].mean()),
        slices=slices(predicted),
        roc=roc_curve(outcome, predicted) if task.name == CLASSIFICATION else None,
        calibration=calibration_curve(outcome, predicted),
        fairness=fairness(objective, test, outcome, predicted),
        reference_slices={name: slices(of) for name, of in others.items()},
        champion_unjudged=champion_unjudged,
    )
