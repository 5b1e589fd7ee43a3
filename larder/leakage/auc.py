"""How well one column ranks the outcomes, and whether another version of it ranks them better, beyond chance."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Outcomes: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]

BLOCKS = 100
"""Runs of consecutive rows that count as independent of one another; rows within one need not be."""


@dataclass(frozen=True)
class Ranking:
    """ROC-AUC of a score, and what each row adds to its error."""

    auc: float
    influence: Floats


@dataclass(frozen=True)
class Gain:
    """By how much the first ROC-AUC exceeds the second, and the standard error of that."""

    gain: float
    error: float

    def at_least(self, deviations: float) -> float:
        """The lower end of the interval of so many standard errors."""
        return self.gain - deviations * self.error


def single_feature(values: pl.Series, outcome: Outcomes) -> Ranking:
    """The column as a model of its own: whichever direction ranks better, nulls at whichever end ranks better.

    A null is thus worth what its presence tells. Text has no order, so each level stands for the share of positive
    outcomes that the other half of the rows has at that level. Needs both outcomes.
    """
    scores = _levels(values, outcome) if values.dtype == pl.String else values.cast(pl.Float64).fill_nan(None)
    candidates = [
        ranking(_scored(scores, end), outcome) for end in ((-np.inf, np.inf) if scores.null_count() else (0,))
    ]
    best = max(candidates, key=lambda found: abs(found.auc - 0.5))
    return best if best.auc >= 0.5 else Ranking(1 - best.auc, -best.influence)


def ranking(scores: Floats, outcome: Outcomes) -> Ranking:
    """ROC-AUC, equal scores counting half; `influence` is that of DeLong, and sums to nought. Needs both outcomes."""
    positives, negatives = int(outcome.sum()), int((~outcome).sum())
    overall, influence = _midranks(scores), np.empty(len(scores))
    # Of each row: the share of the other outcome's rows that it is ranked above, or below.
    influence[outcome] = (overall[outcome] - _midranks(scores[outcome])) / negatives
    influence[~outcome] = 1 - (overall[~outcome] - _midranks(scores[~outcome])) / positives
    auc = float(influence[outcome].mean())
    influence -= auc
    influence[outcome] /= positives
    influence[~outcome] /= negatives
    return Ranking(auc, influence)


def gain(first: Ranking, second: Ranking) -> Gain:
    """Of two rankings of the same rows, which are in order of time.

    The error is that of the difference, by blocks of consecutive rows: what happens on one day happens to many rows.
    """
    difference = first.influence - second.influence
    blocks = max(2, min(BLOCKS, len(difference) // 10))
    sums = np.bincount(np.arange(len(difference)) * blocks // len(difference), difference)
    error = float(np.sqrt(blocks / (blocks - 1) * np.sum(sums**2)))
    return Gain(first.auc - second.auc, error)


def _levels(values: pl.Series, outcome: Outcomes) -> pl.Series:
    rows = pl.DataFrame({"level": values, "outcome": outcome}).with_row_index("row")
    rows = rows.with_columns(half=pl.col("row") % 2)
    other = rows.group_by("level", (1 - pl.col("half")).alias("half")).agg(pl.col("outcome").mean().alias("share"))
    found = rows.join(other, on=["level", "half"], how="left", maintain_order="left")
    return found["share"].fill_null(float(outcome.mean())).set(values.is_null(), None)


def _scored(scores: pl.Series, null: float) -> Floats:
    found: Floats = scores.fill_null(null).to_numpy()
    return found


def _midranks(scores: Floats) -> Floats:
    """1-based rank of each score; equal ones share the mean of theirs."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found
