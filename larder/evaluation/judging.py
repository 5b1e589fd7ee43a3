"""A model judged: its metrics beside those of others, and where it is better and worse."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.contracts.errors import InvalidDataError
from larder.contracts.objective import CLASSIFICATION, Objective, Slice
from larder.evaluation.curves import CalibrationCurve, RocCurve, calibration_curve, roc_curve
from larder.evaluation.task import Floats, Outcomes, Task, task_of


@dataclass(frozen=True)
class SliceScore:
    """Quality on the test rows where `slice` has `value`. `kpi` alone where all outcomes there are the same."""

    slice: str
    value: str
    rows: int
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    rows: int
    metrics: dict[str, float]
    references: dict[str, dict[str, float] | None]
    """Metrics of plainer models and of the champion on the same rows; None where there is no champion."""
    kpi_without_model: float
    """KPI of the best constant answer, known only afterwards."""
    slices: list[SliceScore]
    roc: RocCurve | None
    """None where numbers are predicted."""
    calibration: CalibrationCurve


def evaluation(
    objective: Objective, test: pa.Table, predicted: Floats, references: Mapping[str, Floats | None]
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
    return Evaluation(
        rows=len(outcome),
        metrics=task.metrics(outcome, predicted),
        references={
            name: None if other is None else task.metrics(outcome, other) for name, other in references.items()
        },
        kpi_without_model=float(task.constant_losses(outcome)["kpi"].mean()),
        slices=[score for part in objective.slices for score in slice_scores(part, test, task, outcome, predicted)],
        roc=roc_curve(outcome, predicted) if task.name == CLASSIFICATION else None,
        calibration=calibration_curve(outcome, predicted),
    )


def slice_scores(part: Slice, test: pa.Table, task: Task, outcome: Outcomes, predicted: Floats) -> list[SliceScore]:
    values = slice_values(part, test[part.column])
    scores = []
    for value in sorted(set(values)):
        chosen = values == value
        rows = int(chosen.sum())
        if rows >= part.minimum_rows:
            found = _metrics_if_any(task, outcome[chosen], predicted[chosen])
            scores.append(SliceScore(part.name, value, rows, found))
    return scores


def slice_values(part: Slice, column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """The slice's value of each row; `missing` for null."""
    encoded = column.combine_chunks().dictionary_encode()
    names = np.array([part.value(value) for value in encoded.dictionary.to_pylist()] + ["missing"], dtype=object)
    return np.asarray(names[encoded.indices.fill_null(len(names) - 1).to_numpy()], dtype=object)


def _metrics_if_any(task: Task, outcome: Outcomes, predicted: Floats) -> dict[str, float | None]:
    if len(np.unique(outcome)) >= 2:
        return dict(task.metrics(outcome, predicted))
    return {task.ranking: None, "kpi": float(task.losses(outcome, predicted)["kpi"].mean())}
