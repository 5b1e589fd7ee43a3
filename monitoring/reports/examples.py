"""A real request with its answer, arranged for reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.reports.run_report import Answer, Importance

MOST_FEATURES = 6


@dataclass(frozen=True)
class UsedFeature:
    name: str
    value: Any
    status: str
    """Empty for a value that is there; else why it is not, such as `missing` or `stale`."""


@dataclass(frozen=True)
class Example:
    request: dict[str, Any]
    prediction: float | None
    """A probability, or the number that is predicted."""
    outcome: bool | float | None
    confidence: str
    """`high` or `low`; empty when the answer does not say."""
    features: tuple[UsedFeature, ...]
    """The most important of those that the model used."""
    withheld: int
    """How many of all features the model had to do without."""


def example(answer: Answer, importance: Sequence[Importance]) -> Example:
    """One answer of the server with the features that weigh most by `importance`."""
    given = answer.answer
    statuses = {name: status for status in ("missing", "stale") for name in given.get(status) or ()}
    values = given.get("features") or dict.fromkeys(statuses)
    rank = {item.feature: place for place, item in enumerate(sorted(importance, key=lambda item: -item.value))}
    ranked = sorted(values, key=lambda name: rank.get(name, len(rank)))
    return Example(
        request=answer.request,
        prediction=_prediction(given),
        outcome=answer.outcome,
        confidence=str(given.get("confidence", "")),
        features=tuple(UsedFeature(name, values[name], statuses.get(name, "")) for name in ranked[:MOST_FEATURES]),
        withheld=len(statuses),
    )


def _prediction(given: Mapping[str, Any]) -> float | None:
    """The use case names its prediction as it likes; it is the first number with a fraction in the answer."""
    return next((value for value in given.values() if isinstance(value, float)), None)
