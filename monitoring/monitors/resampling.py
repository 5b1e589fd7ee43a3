"""Intervals of quality metrics by the bootstrap over blocks of time, whatever the number of rows.

Rows of one hour share their fate (a storm, a strike), so whole hours are drawn with replacement, not rows. Each
sample is then a number of times that each hour counts, and a metric of all samples is a product of matrices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from larder.contracts.objective import CLASSIFICATION
from larder.evaluation import Outcomes, Task

Floats = npt.NDArray[np.float64]

SAMPLES = 200
SEED = 0
RANK_BINS = 1_000
"""Probabilities are told apart by rank to a thousandth, which moves ROC-AUC by less than that squared."""


@dataclass(frozen=True)
class Samples:
    """Metrics of all samples, one value each; losses are those of the task."""

    losses: dict[str, Floats]
    constant: dict[str, Floats]
    """The same losses of the constant answer that is best for all rows."""
    expected: dict[str, Floats]
    """The same losses as the predictions themselves promise them; empty where they promise nothing."""
    constant_of_all: dict[str, float]
    """`constant` of the rows as they are, none drawn twice."""
    expected_of_all: dict[str, float]
    """`expected` of the rows as they are."""
    roc_auc: Floats | None
    """None where numbers are predicted; NaN where a sample lacks one of the outcomes."""


def samples(task: Task, outcome: Outcomes, predicted: Floats, hours: npt.NDArray[np.int64]) -> Samples:
    """`hours`: any whole number per row, the same for rows of one block."""
    block, draws = _drawn(hours)
    rows = draws @ np.bincount(block)
    constant, expected = task.constant_losses(outcome), task.expected_losses(predicted)

    def means(losses: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: (draws @ np.bincount(block, per_row)) / rows for name, per_row in losses.items()}

    return Samples(
        losses=means(task.losses(outcome, predicted)),
        constant=means(constant),
        expected=means(expected),
        constant_of_all={name: float(per_row.mean()) for name, per_row in constant.items()},
        expected_of_all={name: float(per_row.mean()) for name, per_row in expected.items()},
        roc_auc=_roc_auc(draws, block, outcome, predicted) if task.name == CLASSIFICATION else None,
    )


def roc_auc_samples(outcome: Outcomes, predicted: Floats, hours: npt.NDArray[np.int64]) -> Floats:
    """`Samples.roc_auc` alone."""
    block, draws = _drawn(hours)
    return _roc_auc(draws, block, outcome, predicted)


def interval(values: Floats, confidence: float) -> tuple[float, float]:
    """Percentile interval; samples without a value are left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _drawn(hours: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], Floats]:
    """The block of each row, and per sample how often each block was drawn."""
    _, block = np.unique(hours, return_inverse=True)
    blocks = int(block.max()) + 1
    draws = np.random.default_rng(SEED).multinomial(blocks, np.full(blocks, 1 / blocks), SAMPLES)
    return block, draws.astype(np.float64)


def _roc_auc(draws: Floats, block: npt.NDArray[np.int64], outcome: Outcomes, predicted: Floats) -> Floats:
    """Share of pairs in the right order, ties counting half."""
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, RANK_BINS + 1)[1:-1]))
    place = np.searchsorted(edges, predicted, side="right")
    shape = len(edges) + 1, draws.shape[1]

    def counted(chosen: npt.NDArray[np.bool_]) -> Floats:
        """Per bin and sample; most bins are empty in most blocks."""
        rows = csr_array((np.ones(np.count_nonzero(chosen)), (place[chosen], block[chosen])), shape=shape)
        result: Floats = rows @ draws.T
        return result

    true, false = counted(outcome == 1), counted(outcome == 0)
    below = np.cumsum(false, axis=0) - false / 2
    pairs = true.sum(axis=0) * false.sum(axis=0)
    ordered = np.sum(true * below, axis=0)
    values: Floats = np.divide(ordered, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return values
