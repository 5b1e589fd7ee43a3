"""From feature values to predictions: a probability and a decision, or a number; and how far to trust them."""

from math import isfinite
from typing import Any

import msgspec

from larder.contracts.answer import Answer
from larder.contracts.bundle import Manifest
from larder.contracts.errors import ConfigurationError
from larder.online.reading.compiled import FeatureRows, Status
from serving.models.model import Model

HIGH, LOW = "high", "low"


class Prediction(msgspec.Struct, frozen=True):
    """The answer to one row."""

    predicted: float | None
    """The probability of a yes, or a number; None where the model finds none that is finite, as for an input beyond
    the range of float32."""
    decision: bool | None
    """Whether the probability reaches the model's threshold; None of a number, and of no probability."""
    confidence: str
    """`high` or `low`, by the rules of the use case's `Answer`."""
    missing: list[str]
    """Model inputs for which nothing is stored; the model saw null."""
    stale: list[str]
    """Model inputs older than their view's TTL; withheld, the model saw null."""
    out_of_bounds: list[str]
    """Numeric model inputs outside the range seen in training."""


def predictions(model: Model, answer: Answer, features: FeatureRows) -> list[Prediction]:
    """One prediction per row of features, in the same order."""
    scores, columns = model.scores(features.values), model.plan.columns
    threshold = model.manifest.threshold
    result = []
    for predicted, outside, values, statuses in zip(
        scores.predicted, scores.out_of_bounds, features.values, features.statuses, strict=True
    ):
        # Computed features carry the worst status of their inputs; only those without a value are absent.
        nulls = [
            (column, status) for column, value, status in zip(columns, values, statuses, strict=True) if value is None
        ]
        missing = [column for column, status in nulls if status == Status.NOT_FOUND]
        stale = [column for column, status in nulls if status == Status.OUTSIDE_MAX_AGE]
        is_finite = isfinite(predicted)
        is_doubtful = (
            not is_finite
            or any(column.view in answer.essential for column in (*missing, *stale))
            or len(missing) + len(stale) > answer.max_absent_share * len(columns)
            or len(outside) > answer.max_out_of_bounds_share * len(columns)
        )
        result.append(
            Prediction(
                predicted=predicted if is_finite else None,
                decision=predicted >= threshold if is_finite and threshold is not None else None,
                confidence=LOW if is_doubtful else HIGH,
                missing=[column.name for column in missing],
                stale=[column.name for column in stale],
                out_of_bounds=outside,
            )
        )
    return result


def rendered(prediction: Prediction, answer: Answer, manifest: Manifest) -> dict[str, Any]:
    """A prediction of the model as the caller sees it, under the use case's names."""
    if manifest.threshold is None:
        said: dict[str, Any] = {answer.prediction: prediction.predicted}
    else:
        said = {answer.probability: prediction.predicted, answer.decision: prediction.decision}
    return said | {
        "confidence": prediction.confidence,
        "missing": prediction.missing,
        "stale": prediction.stale,
        "out_of_bounds": prediction.out_of_bounds,
    }


def check_rules(answer: Answer, model: Model) -> None:
    """Raises ConfigurationError when the rules name a view that the model does not read."""
    views = {column.view for column in model.plan.columns}
    unknown = sorted(set(answer.essential) - views)
    if unknown:
        raise ConfigurationError(
            f"The serving file calls {', '.join(unknown)} essential, but the model reads {', '.join(sorted(views))}. "
            "Name one of these in `essential`."
        )
