"""How good probabilities are: metrics, curves, slices and what an error costs, over the test rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

from larder.contracts.errors import InvalidDataError
from larder.contracts.objective import Kpi, Objective, Slice

Outcomes = npt.NDArray[np.int8]
Probabilities = npt.NDArray[np.float64]
Metrics = Mapping[str, float]

CALIBRATION_BINS = 20
CURVE_POINTS = 200
SMALLEST = np.finfo(np.float64).eps
"""Least distance of a probability from 0 and from 1 where its logarithm is taken."""


@dataclass(frozen=True)
class SliceScore:
    """Quality on the test rows where `slice` has `value`. None where all outcomes there are the same."""

    slice: str
    value: str
    rows: int
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class RocCurve:
    false_positive_rate: list[float]
    true_positive_rate: list[float]


@dataclass(frozen=True)
class CalibrationCurve:
    """Mean probability, share of true labels and number of rows, per bin of rising probability."""

    predicted: list[float]
    observed: list[float]
    count: list[int]


@dataclass(frozen=True)
class Evaluation:
    rows: int
    metrics: dict[str, float]
    references: dict[str, dict[str, float] | None]
    """Metrics of plainer models and of the champion on the same rows; None where there is no champion."""
    kpi_without_model: float
    """KPI of the better of acting always and acting never."""
    slices: list[SliceScore]
    roc: RocCurve
    calibration: CalibrationCurve


def evaluation(
    objective: Objective,
    test: pa.Table,
    predicted: Probabilities,
    references: Mapping[str, Probabilities | None],
) -> Evaluation:
    """Judge `predicted`, one probability per test row, beside those of each reference.

    Raises InvalidDataError when the test labels are all the same.
    """
    outcome = outcomes(test, objective.label.column)
    if len(np.unique(outcome)) < 2:
        raise InvalidDataError(
            f"All {len(outcome)} test labels {objective.label.column!r} are the same, so no model can be judged. "
            "Move split_at and test_until in the training file."
        )
    return Evaluation(
        rows=len(outcome),
        metrics=metrics(outcome, predicted, objective.kpi),
        references={
            name: None if other is None else metrics(outcome, other, objective.kpi)
            for name, other in references.items()
        },
        kpi_without_model=min(
            mean_cost(outcome, np.full(len(outcome), constant), objective.kpi) for constant in (0.0, 1.0)
        ),
        slices=[
            score for part in objective.slices for score in slice_scores(part, test, outcome, predicted, objective.kpi)
        ],
        roc=_roc(outcome, predicted),
        calibration=calibration_curve(outcome, predicted),
    )


def outcomes(rows: pa.Table, label: str) -> Outcomes:
    """The label as 0 and 1. Raises InvalidDataError for null or any other value."""
    values = rows[label].cast(pa.float64()).to_numpy()
    foreign = values[~np.isin(values, (0.0, 1.0))]
    if len(foreign):
        raise InvalidDataError(
            f"Label {label!r} holds {np.unique(foreign)[:3].tolist()}; a label is true or false. "
            "Correct the labels table or name another column in the training file."
        )
    outcome: Outcomes = values.astype(np.int8)
    return outcome


def metrics(outcome: Outcomes, predicted: Probabilities, kpi: Kpi) -> dict[str, float]:
    """All of `larder.contracts.objective.METRICS`. Needs both outcomes to occur."""
    return {
        "roc_auc": float(roc_auc_score(outcome, predicted)),
        "average_precision": float(average_precision_score(outcome, predicted)),
        "log_loss": float(log_loss(outcome, predicted)),
        "brier": float(brier_score_loss(outcome, predicted)),
        "calibration_error": _calibration_error(calibration_curve(outcome, predicted)),
        "kpi": mean_cost(outcome, predicted, kpi),
    }


def mean_cost(outcome: Outcomes, predicted: Probabilities, kpi: Kpi) -> float:
    """Cost per decision, in the KPI's unit, of acting wherever the probability reaches the threshold."""
    return float(losses(outcome, predicted, kpi)["kpi"].mean())


def losses(outcome: Outcomes, predicted: Probabilities, kpi: Kpi) -> dict[str, Probabilities]:
    """What each row cost: log_loss, brier and kpi."""
    acted = predicted >= kpi.threshold
    cost = np.where(acted & (outcome == 0), kpi.false_alarm, np.where(~acted & (outcome == 1), kpi.miss, 0.0))
    return {"log_loss": log_losses(outcome, predicted), "brier": (predicted - outcome) ** 2, "kpi": cost}


def log_losses(outcome: Outcomes, predicted: Probabilities) -> Probabilities:
    """One per row; probabilities are kept off 0 and 1 as scikit-learn does."""
    right: Probabilities = np.clip(np.where(outcome == 1, predicted, 1 - predicted), SMALLEST, 1 - SMALLEST)
    return -np.log(right)


def calibration_curve(outcome: Outcomes, predicted: Probabilities) -> CalibrationCurve:
    """Bins of equal size by rank; equal probabilities stay together, so a constant model is one bin."""
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, CALIBRATION_BINS + 1)))
    places = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(places)
    used = count > 0
    return CalibrationCurve(
        predicted=(np.bincount(places, predicted)[used] / count[used]).tolist(),
        observed=(np.bincount(places, outcome)[used] / count[used]).tolist(),
        count=count[used].tolist(),
    )


def _calibration_error(curve: CalibrationCurve) -> float:
    """Mean distance between predicted and observed, weighted by rows."""
    gaps = np.abs(np.asarray(curve.predicted) - np.asarray(curve.observed))
    return float(np.average(gaps, weights=curve.count))


def _roc(outcome: Outcomes, predicted: Probabilities) -> RocCurve:
    """The curve at `CURVE_POINTS` even steps of the false positive rate."""
    false_positive, true_positive, _ = roc_curve(outcome, predicted)
    steps = np.linspace(0, 1, CURVE_POINTS)
    return RocCurve(steps.tolist(), np.interp(steps, false_positive, true_positive).tolist())


def slice_scores(
    part: Slice, test: pa.Table, outcome: Outcomes, predicted: Probabilities, kpi: Kpi
) -> list[SliceScore]:
    values = slice_values(part, test[part.column])
    scores = []
    for value in sorted(set(values)):
        chosen = values == value
        rows = int(chosen.sum())
        if rows >= part.minimum_rows:
            found = _metrics_if_any(outcome[chosen], predicted[chosen], kpi)
            scores.append(SliceScore(part.name, value, rows, found))
    return scores


def slice_values(part: Slice, column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """The slice's value of each row; `missing` for null."""
    encoded = column.combine_chunks().dictionary_encode()
    names = np.array([part.value(value) for value in encoded.dictionary.to_pylist()] + ["missing"], dtype=object)
    return np.asarray(names[encoded.indices.fill_null(len(names) - 1).to_numpy()], dtype=object)


def _metrics_if_any(outcome: Outcomes, predicted: Probabilities, kpi: Kpi) -> dict[str, float | None]:
    if len(np.unique(outcome)) == 2:
        return dict(metrics(outcome, predicted, kpi))
    return {"roc_auc": None, "kpi": mean_cost(outcome, predicted, kpi)}
