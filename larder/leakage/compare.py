"""One feature three ways: by event time, as the training set has it, and as it was known."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl

from larder.leakage.auc import Gain, Outcomes, gain, single_feature

ROUNDING = 1e-9
"""Floats that differ by less, relative or absolute, are equal."""


class Verdict(StrEnum):
    LEAK = "leak"
    """The training set has other values than serving had, and they rank the outcomes better."""
    DIFFERS = "differs"
    """Other values than serving had, but no better ones."""
    CLEAN = "clean"
    """The values that serving had."""
    UNKNOWN = "cannot tell"
    """Nothing says when the values became known."""


@dataclass(frozen=True)
class Limits:
    """From where on a better ranking is called a leak."""

    minimum_gain: float = 0.002
    """Smallest gain in ROC-AUC worth a name."""
    deviations: float = 3.0
    """Standard errors by which the gain must exceed nought: one clean feature in 740 does so by chance."""


@dataclass(frozen=True)
class FeatureValues:
    """One value per label row, in order of time."""

    event_time: pl.Series
    training: pl.Series
    known_time: pl.Series
    unknown: str = ""
    """Why nothing says when the values became known; empty where something does."""


@dataclass(frozen=True)
class FeatureLeakage:
    feature: str
    rows: int
    differ_by_event_time: float
    """Share of rows where an event-time join has another value than was known."""
    differ_in_training: float
    """Share of rows where the training set has another value than was known."""
    auc_event_time: float
    auc_training: float
    auc_known_time: float
    gain: Gain
    """Of the training set's values over those that were known."""
    verdict: Verdict
    reason: str


def feature_leakage(feature: str, values: FeatureValues, outcome: Outcomes, limits: Limits) -> FeatureLeakage:
    """Compare the three over the same rows. `outcome` must hold both outcomes."""
    known_time = _same_digits(values.known_time, values.training)
    event_time = _same_digits(values.event_time, known_time)
    known, training = single_feature(known_time, outcome), single_feature(values.training, outcome)
    difference = gain(training, known)
    differ_by_event_time = share_that_differ(event_time, known_time)
    differ_in_training = share_that_differ(values.training, known_time)
    verdict = _verdict(values, difference, differ_in_training, limits)
    return FeatureLeakage(
        feature=feature,
        rows=len(outcome),
        differ_by_event_time=differ_by_event_time,
        differ_in_training=differ_in_training,
        auc_event_time=single_feature(event_time, outcome).auc,
        auc_training=training.auc,
        auc_known_time=known.auc,
        gain=difference,
        verdict=verdict,
        reason=_reason(verdict, values, difference, differ_by_event_time, differ_in_training, limits),
    )


def share_that_differ(first: pl.Series, second: pl.Series) -> float:
    """Null equals null and NaN equals NaN."""
    return float(np.mean(first.ne_missing(second).to_numpy())) if len(first) else 0.0


def _same_digits(values: pl.Series, example: pl.Series) -> pl.Series:
    """`values` with those of `example` where they are equal but for rounding: sums may be added in another order."""
    if not values.dtype.is_float():
        return values
    is_close = np.isclose(values.to_numpy(), example.to_numpy(), rtol=ROUNDING, atol=ROUNDING)
    return example.zip_with(pl.Series(is_close), values)


def is_better(difference: Gain, limits: Limits) -> bool:
    """Whether a gain is large enough to matter and too large to be chance."""
    return difference.gain >= limits.minimum_gain and difference.at_least(limits.deviations) > 0


def _verdict(values: FeatureValues, difference: Gain, differ_in_training: float, limits: Limits) -> Verdict:
    if values.unknown:
        return Verdict.UNKNOWN
    if not differ_in_training:
        return Verdict.CLEAN
    return Verdict.LEAK if is_better(difference, limits) else Verdict.DIFFERS


def _reason(
    verdict: Verdict,
    values: FeatureValues,
    difference: Gain,
    differ_by_event_time: float,
    differ_in_training: float,
    limits: Limits,
) -> str:
    width = limits.deviations * difference.error
    change = f"ROC-AUC {difference.gain:+.4f} ± {width:.4f} against what was known"
    match verdict:
        case Verdict.UNKNOWN:
            return values.unknown
        case Verdict.LEAK:
            return f"{differ_in_training:.1%} of the training values were not known yet; {change}"
        case Verdict.DIFFERS:
            return f"{differ_in_training:.1%} of the training values differ from what was known, but {change}"
        case _ if differ_by_event_time:
            return f"training sees what was known; by event time {differ_by_event_time:.1%} would differ"
        case _:
            return "training sees what was known"
