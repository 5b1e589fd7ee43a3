"""How far values stray from what was usual in training: distances of distributions, beyond what chance explains.

With n rows from the very distribution of the m training rows the population stability index of k bins is not 0 but
about (k - 1) (1/n + 1/m), the Jensen-Shannon divergence an eighth of that, and the Wasserstein distance about
sqrt(2/pi) sqrt(1/n + 1/m) times the integral of sqrt(F (1 - F)). These expectations are taken off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import chdtrc, kolmogorov

from larder.contracts.monitoring import NumberBaseline, StringBaseline

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

FEWEST_PER_BIN = 5
"""Bins with fewer rows, expected and seen, are taken together: the approximations above fail for them."""


@dataclass(frozen=True)
class Distances:
    """Between a window and training. Nulls are a bin of their own in all but those of the values."""

    rows: int
    """Of the window."""
    psi: float
    """Population stability index, beyond noise."""
    jensen_shannon: float
    """Distance, base 2, from 0 to 1, beyond noise."""
    wasserstein: float | None
    """Of the values, in standard deviations of training, beyond noise; None for strings, constants and nulls."""
    kolmogorov_smirnov: float | None
    """Largest gap between the values' distributions at the bins' edges; None for strings and where all is null."""
    effect: float | None
    """How far this input alone moves the answers, in probability; None where no partial dependence is known."""
    p_value: float
    """Probability of such a window, or one further off, by chance, as if its rows were independent."""


def number_distances(values: Floats, usual: NumberBaseline, dependence: Sequence[float] = ()) -> Distances:
    """`values`: one window's, at least one, rounded to float32 as the model sees them; NaN is null.

    `dependence`: the input's, as a baseline has it.
    """
    known = values[~np.isnan(values)]
    counts = np.append(binned(known, usual.edges), len(values) - len(known))
    usual_counts = np.array([*usual.counts, usual.nulls])
    psi, jensen_shannon, by_bins = _of_bins(counts, usual_counts)
    gap, by_gap = _kolmogorov_smirnov(counts[:-1], np.array(usual.counts))
    # Two tests, so that neither a shift of values nor one to null goes unnoticed.
    p_value = by_bins if gap is None else min(1.0, 2 * min(by_bins, by_gap))
    effect = _effect(counts, usual_counts, dependence)
    return Distances(len(values), psi, jensen_shannon, _wasserstein(known, usual), gap, effect, p_value)


def string_distances(
    counts: Mapping[str, int], nulls: int, usual: StringBaseline, dependence: Sequence[float] = ()
) -> Distances:
    """`counts`: rows of one window per value, without nulls; `dependence`: the input's, as a baseline has it."""
    named = [counts.get(value, 0) for value in usual.counts]
    seen = np.array([*named, sum(counts.values()) - sum(named), nulls])
    usual_counts = np.array([*usual.counts.values(), usual.other, usual.nulls])
    psi, jensen_shannon, p_value = _of_bins(seen, usual_counts)
    effect = _effect(seen, usual_counts, dependence)
    return Distances(int(seen.sum()), psi, jensen_shannon, None, None, effect, p_value)


def string_counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Rows per value; nulls, and the empty strings that stand for them, are left out."""
    counted = pc.value_counts(column.drop_null()).to_pylist()
    return {item["values"]: item["counts"] for item in counted if item["values"] != ""}


def as_float32(column: pa.ChunkedArray) -> Floats:
    """Values as the model sees them, rounded to float32 (infinite beyond its range), with NaN for null."""
    with np.errstate(over="ignore"):
        values: Floats = column.cast(pa.float64()).to_numpy().astype(np.float32).astype(np.float64)
    return values


def binned(known: Floats, edges: list[float]) -> Counts:
    """Rows per bin; a value on an edge belongs to the bin above."""
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), known, side="right")
    return np.bincount(places, minlength=len(edges) + 1).astype(np.int64)


def _effect(counts: Counts, usual: Counts, dependence: Sequence[float]) -> float | None:
    """Wasserstein distance between the answers that the model gives by this input alone in the window and in training.

    Where the answers rise with the input all over, that is how much the mean answer moved.
    """
    if len(dependence) != len(counts) or not counts.sum() or not usual.sum():
        return None
    answers = np.asarray(dependence)
    order = np.argsort(answers)
    apart = np.cumsum((counts / counts.sum() - usual / usual.sum())[order])[:-1]
    return float(np.abs(apart) @ np.diff(answers[order]))


def _of_bins(counts: Counts, usual: Counts) -> tuple[float, float, float]:
    """PSI and Jensen-Shannon distance beyond noise, and the p-value of the chi-square test of homogeneity."""
    counts, usual = _merged(counts, usual)
    rows, usual_rows = counts.sum(), usual.sum()
    if len(counts) < 2 or not rows or not usual_rows:
        return 0.0, 0.0, 1.0
    freedom = len(counts) - 1
    noise = freedom * (1 / rows + 1 / usual_rows)
    # Half a row more in each bin: an empty one would be infinitely far away.
    share, usual_share = (bins / bins.sum() for bins in (counts + 0.5, usual + 0.5))
    psi = float(np.sum((share - usual_share) * np.log(share / usual_share)))
    middle = (share + usual_share) / 2
    divergence = float(np.sum(share * np.log(share / middle) + usual_share * np.log(usual_share / middle)) / 2)
    distance = np.sqrt(max(0.0, divergence - noise / 8) / np.log(2))
    ratio = np.sqrt(usual_rows / rows)
    statistic = np.sum((counts * ratio - usual / ratio) ** 2 / (counts + usual))
    return max(0.0, psi - noise), float(distance), float(chdtrc(freedom, statistic))


def _merged(counts: Counts, usual: Counts) -> tuple[Counts, Counts]:
    """Both without bins that are rare on both sides; these are one bin, or part of the next smallest."""
    expected = np.maximum(counts, usual * (counts.sum() / max(usual.sum(), 1)))
    order = np.argsort(-expected, kind="stable")
    cut = int(np.sum(expected >= FEWEST_PER_BIN))
    if expected[order[cut:]].sum() < FEWEST_PER_BIN:
        cut = max(cut - 1, 0)
    parts = [order[:cut], order[cut:]]
    merged = [np.append(side[parts[0]], side[parts[1]].sum()) for side in (counts, usual)]
    return merged[0], merged[1]


def _kolmogorov_smirnov(counts: Counts, usual: Counts) -> tuple[float | None, float]:
    """Gap and asymptotic p-value of the two-sample test; bins hide part of the gap, which errs on the quiet side."""
    rows, usual_rows = int(counts.sum()), int(usual.sum())
    if not rows or not usual_rows:
        return None, 1.0
    gap = float(np.max(np.abs(np.cumsum(counts) / rows - np.cumsum(usual) / usual_rows)))
    return gap, float(kolmogorov(gap * np.sqrt(rows * usual_rows / (rows + usual_rows))))


def _wasserstein(known: Floats, usual: NumberBaseline) -> float | None:
    """Mean distance of quantiles. The outermost are left out: the more rows there are, the further off they lie."""
    quantiles = np.asarray(usual.quantiles)[1:-1]
    if len(quantiles) < 2 or not len(known) or not usual.deviation:
        return None
    ranks = np.linspace(0, 1, len(usual.quantiles))[1:-1]
    values = np.sort(known)[np.round(ranks * (len(known) - 1)).astype(np.int64)]
    distance = np.trapezoid(np.abs(values - quantiles), ranks)
    rows = 1 / len(known) + 1 / max(sum(usual.counts), 1)
    middles = (ranks[1:] + ranks[:-1]) / 2
    noise = np.sqrt(2 / np.pi * rows) * np.sum(np.sqrt(middles * (1 - middles)) * np.diff(quantiles))
    return max(0.0, float(distance - noise)) / usual.deviation
