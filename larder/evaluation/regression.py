"""A number: the model answers it, and being wrong costs in proportion to how wrong it is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import r2_score

from larder.contracts.errors import InvalidDataError
from larder.contracts.objective import PREDICTED, REGRESSION, ErrorKpi
from larder.evaluation.task import Floats, Outcomes, label_numbers


@dataclass(frozen=True)
class Regression:
    """See `larder.evaluation.task.Task`. Losses are mae, which is that of one row's absolute error, and kpi."""

    kpi: ErrorKpi
    name = REGRESSION
    loss = "mae"
    ranking = "r2"
    no_skill = 0.0
    predicted = PREDICTED[REGRESSION]

    def outcomes(self, rows: pa.Table, label: str) -> Outcomes:
        values = label_numbers(rows, label)
        if not np.isfinite(values).all():
            foreign = values[~np.isfinite(values)]
            raise InvalidDataError(
                f"Label {label!r} holds {np.unique(foreign)[:3].tolist()}; a label is a finite number. "
                "Correct the labels table or name another column in the training file."
            )
        return values

    def metrics(self, outcome: Outcomes, predicted: Floats) -> dict[str, float]:
        """`bias` is the mean of predicted minus observed: above 0 the model answers too much."""
        return {"r2": float(r2_score(outcome, predicted)), **self.metrics_of_alike(outcome, predicted)}

    def metrics_of_alike(self, outcome: Outcomes, predicted: Floats) -> dict[str, float]:
        error = predicted - outcome
        return {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "bias": float(error.mean()),
            "kpi": float(self._costs(outcome, predicted).mean()),
        }

    def losses(self, outcome: Outcomes, predicted: Floats) -> dict[str, Floats]:
        return {"mae": np.abs(predicted - outcome), "kpi": self._costs(outcome, predicted)}

    def constant_losses(self, outcome: Outcomes) -> dict[str, Floats]:
        """The best constant for mae is the median, for kpi the quantile that both costs balance at."""
        if not len(outcome):
            return self.losses(outcome, outcome)
        median, balanced = np.quantile(outcome, [0.5, self.kpi.quantile])
        return {"mae": np.abs(median - outcome), "kpi": self._costs(outcome, np.full(len(outcome), balanced))}

    def expected_losses(self, predicted: Floats) -> dict[str, Floats]:  # noqa: ARG002 - other tasks look at it
        """A number does not say how sure it is."""
        return {}

    def is_above(self, outcome: Outcomes) -> npt.NDArray[np.bool_]:
        """Above the median; at it and above where nothing lies higher."""
        median = np.median(outcome)
        above: npt.NDArray[np.bool_] = outcome > median
        return above if above.any() else outcome >= median

    def _costs(self, outcome: Outcomes, predicted: Floats) -> Floats:
        error = predicted - outcome
        return np.where(error < 0, -error * self.kpi.too_low, error * self.kpi.too_high)
