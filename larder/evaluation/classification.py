"""Yes or no: the model answers the probability of a yes, and acts from the KPI's threshold on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from larder.contracts.errors import InvalidDataError
from larder.contracts.objective import CLASSIFICATION, PREDICTED, Kpi
from larder.evaluation.curves import CalibrationCurve, calibration_curve
from larder.evaluation.task import Floats, Outcomes, label_numbers

SMALLEST = np.finfo(np.float64).eps
"""Least distance of a probability from 0 and from 1 where its logarithm is taken."""


@dataclass(frozen=True)
class Classification:
    """See `larder.evaluation.task.Task`. Losses are log_loss, brier and kpi."""

    kpi: Kpi
    name = CLASSIFICATION
    loss = "log_loss"
    ranking = "roc_auc"
    no_skill = 0.5
    predicted = PREDICTED[CLASSIFICATION]

    def outcomes(self, rows: pa.Table, label: str) -> Outcomes:
        values = label_numbers(rows, label)
        foreign = values[~np.isin(values, (0.0, 1.0))]
        if len(foreign):
            raise InvalidDataError(
                f"Label {label!r} holds {np.unique(foreign)[:3].tolist()}; a label is true or false. Correct the "
                "labels table, name another column in the training file, or declare a NumberLabel there."
            )
        outcome: Outcomes = values.astype(np.int8)
        return outcome

    def metrics(self, outcome: Outcomes, predicted: Floats) -> dict[str, float]:
        return {
            "roc_auc": float(roc_auc_score(outcome, predicted)),
            "average_precision": float(average_precision_score(outcome, predicted)),
            "log_loss": float(log_loss(outcome, predicted)),
            "brier": float(brier_score_loss(outcome, predicted)),
            "calibration_error": _calibration_error(calibration_curve(outcome, predicted)),
            "kpi": float(self._costs(outcome, predicted).mean()),
        }

    def metrics_of_alike(self, outcome: Outcomes, predicted: Floats) -> dict[str, float]:
        return {"kpi": float(self._costs(outcome, predicted).mean())}

    def losses(self, outcome: Outcomes, predicted: Floats) -> dict[str, Floats]:
        """Probabilities are kept off 0 and 1 as scikit-learn does."""
        right = np.clip(np.where(outcome == 1, predicted, 1 - predicted), SMALLEST, 1 - SMALLEST)
        return {
            "log_loss": -np.log(right),
            "brier": (predicted - outcome) ** 2,
            "kpi": self._costs(outcome, predicted),
        }

    def constant_losses(self, outcome: Outcomes) -> dict[str, Floats]:
        """Their means are entropy, variance, and the cost of the cheaper of acting always and acting never."""
        constant = np.full(len(outcome), outcome.mean() if len(outcome) else 0.0)
        return self.losses(outcome, constant)

    def expected_losses(self, predicted: Floats) -> dict[str, Floats]:
        """Each row counts as p true and 1 - p false outcomes."""
        chance = np.clip(predicted, SMALLEST, 1 - SMALLEST)
        entropy = -(chance * np.log(chance) + (1 - chance) * np.log(1 - chance))
        acted = predicted >= self.kpi.threshold
        cost = np.where(acted, (1 - predicted) * self.kpi.false_alarm, predicted * self.kpi.miss)
        return {"log_loss": entropy, "brier": predicted * (1 - predicted), "kpi": cost}

    def is_above(self, outcome: Outcomes) -> npt.NDArray[np.bool_]:
        return outcome.astype(bool)

    def _costs(self, outcome: Outcomes, predicted: Floats) -> Floats:
        """Of acting wherever the probability reaches the threshold."""
        acted = predicted >= self.kpi.threshold
        return np.where(
            acted & (outcome == 0), self.kpi.false_alarm, np.where(~acted & (outcome == 1), self.kpi.miss, 0.0)
        )


def _calibration_error(curve: CalibrationCurve) -> float:
    """Mean distance between predicted and observed, weighted by rows."""
    gaps = np.abs(np.asarray(curve.predicted) - np.asarray(curve.observed))
    return float(np.average(gaps, weights=curve.count))
