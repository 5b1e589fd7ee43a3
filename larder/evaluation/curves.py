"""Curves of predictions beside outcomes."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_curve as roc_points

from larder.evaluation.task import Floats, Outcomes

CALIBRATION_BINS = 20
CURVE_POINTS = 200


@dataclass(frozen=True)
class RocCurve:
    false_positive_rate: list[float]
    true_positive_rate: list[float]


@dataclass(frozen=True)
class CalibrationCurve:
    """Mean prediction, mean outcome (of yes or no: the share of true labels) and rows, per bin of rising prediction."""

    predicted: list[float]
    observed: list[float]
    count: list[int]


def calibration_curve(outcome: Outcomes, predicted: Floats) -> CalibrationCurve:
    """Bins of equal size by rank; equal predictions stay together, where their middle rank lies: a constant is one."""
    middles = (rankdata(predicted) - 0.5) / len(predicted)
    places = (middles * CALIBRATION_BINS).astype(np.int64)
    count = np.bincount(places)
    used = count > 0
    return CalibrationCurve(
        predicted=(np.bincount(places, predicted)[used] / count[used]).tolist(),
        observed=(np.bincount(places, outcome)[used] / count[used]).tolist(),
        count=count[used].tolist(),
    )


def roc_curve(outcome: Outcomes, predicted: Floats) -> RocCurve:
    """The curve at `CURVE_POINTS` even steps of the false positive rate."""
    false_positive, true_positive, _ = roc_points(outcome, predicted)
    steps = np.linspace(0, 1, CURVE_POINTS)
    return RocCurve(steps.tolist(), np.interp(steps, false_positive, true_positive).tolist())
