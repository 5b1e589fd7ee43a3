"""What differs between a model that answers a probability and one that answers a number."""

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.objective import ErrorKpi, Kpi, Objective

Floats: TypeAlias = npt.NDArray[np.float64]
Outcomes: TypeAlias = npt.NDArray[Any]
"""What came of each row: int8 0 and 1 for classification, float64 for regression."""


class Task(Protocol):
    """Arrays hold one value per judged row. Where a dict is returned for rows, its arrays do too.

    A mean over the rows of `losses` is the metric of the same name; lower is better.
    """

    @property
    def name(self) -> str:
        """`classification` or `regression`."""

    @property
    def loss(self) -> str:
        """The loss by which two versions are compared row by row."""

    @property
    def ranking(self) -> str:
        """The metric, higher being better, that says how well rows are told apart."""

    @property
    def no_skill(self) -> float:
        """Value of `ranking` for a constant."""

    @property
    def predicted(self) -> str:
        """Column of the prediction log with what the model answered."""

    def outcomes(self, rows: pa.Table, label: str) -> Outcomes:
        """The label of each row. Raises InvalidDataError for null and for what is no label of this task."""

    def metrics(self, outcome: Outcomes, predicted: Floats) -> dict[str, float]:
        """All of `larder.contracts.objective.METRICS` of the task. Needs outcomes that are not all the same."""

    def metrics_of_alike(self, outcome: Outcomes, predicted: Floats) -> dict[str, float]:
        """Those of `metrics` that can be said where all outcomes are the same."""

    def losses(self, outcome: Outcomes, predicted: Floats) -> dict[str, Floats]:
        """What each row costs, `kpi` among them."""

    def constant_losses(self, outcome: Outcomes) -> dict[str, Floats]:
        """What each row costs, by every loss, where the answer is the constant that is best for these outcomes."""

    def expected_losses(self, predicted: Floats) -> dict[str, Floats]:
        """What each row will cost on average if the predictions are right; empty where they do not say."""

    def is_above(self, outcome: Outcomes) -> npt.NDArray[np.bool_]:
        """The rows that a good feature tells from the others, both kinds being there."""


def task_of(objective: Objective) -> Task:
    """The objective's task, with its KPI."""
    from larder.evaluation.classification import Classification
    from larder.evaluation.regression import Regression

    match objective.kpi:
        case Kpi() as kpi:
            return Classification(kpi)
        case ErrorKpi() as kpi:
            return Regression(kpi)
    raise ConfigurationError(f"A KPI is a Kpi or an ErrorKpi, not a {type(objective.kpi).__name__}.")


def label_numbers(rows: pa.Table, label: str) -> Floats:
    """The label's column as float64, NaN for null. Raises InvalidDataError for a type that is no number."""
    try:
        values: Floats = rows[label].cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InvalidDataError(
            f"Label {label!r} is a column of {rows.schema.field(label).type}; a label is true or false, or a number. "
            "Make it one in the pipelines file, or name another column in the training file."
        ) from None
    return values
