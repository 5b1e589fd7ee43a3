"""Windows that share no events with one another: each has a copy of its own, so they may differ in what they know."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from larder.compute.kernel.ranks import Integers
from larder.compute.kernel.sliding import Combine, Values


@dataclass(frozen=True)
class SeparateRanges:
    """The ranges [start, end) of one row of events, for the functions of `larder.compute.kernel.functions`."""

    start: Integers
    end: Integers

    @cached_property
    def count(self) -> Integers:
        return self.end - self.start

    @cached_property
    def filled(self) -> Integers:
        return np.flatnonzero(self.count)

    def folded(self, values: Values, combine: Combine) -> Values:
        """Neighbours are combined, then what resulted from neighbours, and so on: twice as many steps as events."""
        sizes = self.count[self.filled]
        parts = values.take(spread(self.start[self.filled], sizes), axis=-1)
        while len(sizes) and sizes.max() > 1:
            position = spread(np.zeros_like(sizes), sizes)
            is_left = position % 2 == 0
            pairs = np.flatnonzero(is_left & (position + 1 < np.repeat(sizes, sizes)))
            merged = parts[..., is_left]
            merged[..., (np.cumsum(is_left) - 1)[pairs]] = combine(parts.take(pairs, -1), parts.take(pairs + 1, -1))
            parts, sizes = merged, (sizes + 1) // 2
        return parts

    def distinct(self, values: Integers) -> Integers:
        window = np.repeat(np.arange(len(self.start)), self.count)
        levels = int(values.max(initial=0)) + 1
        once = np.unique(window * levels + values[spread(self.start, self.count)])
        return np.bincount(once // levels, minlength=len(self.start))


def spread(first: Integers, sizes: Integers) -> Integers:
    """first[0], first[0] + 1, ... sizes[0] of them, then first[1], ...: the numbers in some ranges."""
    return np.arange(sizes.sum()) + np.repeat(first - np.cumsum(sizes) + sizes, sizes)
