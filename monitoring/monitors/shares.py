"""Shares of rows judged with their sampling error, so that small windows do not cry wolf."""

import math

from scipy.stats import norm


def lowest_share(count: int, rows: int, *, error: float) -> float:
    """Lower bound of the true share, wrong with probability `error` at most (Wilson 1927, one-sided)."""
    return _wilson(count, rows, -float(norm.isf(error)))


def highest_share(count: int, rows: int, *, error: float) -> float:
    """Upper bound of the true share, wrong with probability `error` at most."""
    return _wilson(count, rows, float(norm.isf(error)))


def _wilson(count: int, rows: int, z: float) -> float:
    share, squared = count / rows, z * z
    root = math.sqrt(share * (1 - share) / rows + squared / (4 * rows * rows))
    return min(1.0, max(0.0, (share + squared / (2 * rows) + z * root) / (1 + squared / rows)))
