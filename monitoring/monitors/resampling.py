"""Intervals of quality metrics by the bootstrap over blocks of time, whatever the number of rows.

Rows of one hour share their fate (a storm, a strike), so whole hours are drawn with replacement, not rows. Each
sample is then a number of times that each hour counts, and a metric of all samples is a product of matrices.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from larder.contracts.objective import Kpi
from larder.evaluation import SMALLEST, Outcomes, Probabilities, losses

Floats = npt.NDArray[np.float64]

SAMPLES = 200
SEED = 0
RANK_BINS = 1_000
"""Probabilities are told apart by rank to a thousandth, which moves ROC-AUC by less than that squared."""


@dataclass(frozen=True)
class Samples:
    """Metrics of all samples, one value each; NaN where a sample lacks one of the outcomes."""

    roc_auc: Floats
    losses: dict[str, Floats]
    """log_loss, brier and kpi."""
    expected: dict[str, Floats]
    """The same losses as the probabilities themselves promise them."""
    positives: Floats
    """Share of true outcomes."""


def samples(outcome: Outcomes, predicted: Probabilities, hours: npt.NDArray[np.int64], kpi: Kpi) -> Samples:
    """`hours`: any whole number per row, the same for rows of one block."""
    _, block = np.unique(hours, return_inverse=True)
    blocks = int(block.max()) + 1
    draws = np.random.default_rng(SEED).multinomial(blocks, np.full(blocks, 1 / blocks), SAMPLES).astype(np.float64)
    rows = draws @ np.bincount(block)

    def mean(per_row: Floats) -> Floats:
        result: Floats = (draws @ np.bincount(block, per_row)) / rows
        return result

    return Samples(
        roc_auc=_roc_auc(draws, block, outcome, predicted),
        losses={name: mean(of_rows) for name, of_rows in losses(outcome, predicted, kpi).items()},
        expected={name: mean(of_rows) for name, of_rows in expected_losses(predicted, kpi).items()},
        positives=mean(outcome.astype(np.float64)),
    )


def expected_losses(predicted: Probabilities, kpi: Kpi) -> dict[str, Floats]:
    """Per row what it costs on average if the probability is right."""
    chance = np.clip(predicted, SMALLEST, 1 - SMALLEST)
    entropy = -(chance * np.log(chance) + (1 - chance) * np.log(1 - chance))
    cost = np.where(predicted >= kpi.threshold, (1 - predicted) * kpi.false_alarm, predicted * kpi.miss)
    return {"log_loss": entropy, "brier": predicted * (1 - predicted), "kpi": cost}


def interval(values: Floats, confidence: float) -> tuple[float, float]:
    """Percentile interval; samples without a value are left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _roc_auc(draws: Floats, block: npt.NDArray[np.int64], outcome: Outcomes, predicted: Probabilities) -> Floats:
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
