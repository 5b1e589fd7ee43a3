"""The window functions: what each says of every window of one length over one column.

All ignore nulls. NaN is a value: it makes sums, means, deviations and maxima NaN, counts as one distinct value, and
is a minimum only where there is nothing else. `stddev` is that of a sample, null below two values. Sums, means and
deviations are computed in float64, also those of whole numbers.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa

from larder.compute.kernel.ranks import Integers, value_ranks
from larder.compute.kernel.sliding import Combine, Values, merged_moments, moments


class Ranges(Protocol):
    """Some windows over one row of events: each a range of it, as `larder.compute.kernel.sliding.Windows` are."""

    @property
    def end(self) -> Integers:
        """Number of the first event after the window."""

    @property
    def count(self) -> Integers: ...

    @property
    def filled(self) -> Integers:
        """Numbers of the windows that hold an event."""

    def folded(self, values: Values, combine: Combine) -> Values:
        """`combine` over the events of each filled window. Events lie along the last axis of `values`."""

    def distinct(self, values: Integers) -> Integers:
        """Number of different values in each window."""


@dataclass(frozen=True)
class WindowStatistics:
    """The functions of FUNCTIONS, by name: one value per window, null where nothing is to be said."""

    values: pa.ChunkedArray
    """One per event, in the order of the windows' events, without nulls."""
    windows: Ranges

    def value(self, function: str) -> pa.Array:
        match function:
            case "count":
                return pa.array(self.windows.count)
            case "count_distinct":
                return pa.array(self.windows.distinct(value_ranks(self.values)))
            case "last":
                return self.values.take(self._spread(self.windows.end[self.windows.filled] - 1))
            case "sum":
                return self._spread(self._total)
            case "mean":
                with np.errstate(invalid="ignore"):
                    return self._spread(self._total / self._count)
            case "stddev":
                return self._stddev()
            case _:
                return self._extreme(function)

    @property
    def _numbers(self) -> Values:
        # Whole numbers beyond 2^53, nanoseconds or meter counts, are rounded to the nearest float64.
        numbers: Values = self.values.cast(pa.float64(), safe=False).to_numpy()
        return numbers

    @cached_property
    def _count(self) -> Values:
        return self.windows.count[self.windows.filled]

    @cached_property
    def _total(self) -> Values:
        with np.errstate(invalid="ignore", over="ignore"):
            return self.windows.folded(self._numbers, np.add)

    def _stddev(self) -> pa.Array:
        with np.errstate(invalid="ignore", over="ignore"):
            deviations = self.windows.folded(moments(self._numbers), merged_moments)[2]
            return self._spread(np.sqrt(deviations / np.maximum(self._count - 1, 1)), self._count > 1)

    def _extreme(self, function: str) -> pa.Array:
        if pa.types.is_floating(self.values.type):
            found = self.windows.folded(self.values.to_numpy(), np.fmin if function == "min" else np.maximum)
            return self._spread(found)
        ranks = value_ranks(self.values)
        found = self.windows.folded(ranks, np.minimum if function == "min" else np.maximum)
        by_rank = self.values.take(np.unique(ranks, return_index=True)[1])
        return by_rank.take(self._spread(found))

    def _spread(self, found: Values, is_defined: Values | None = None) -> pa.Array:
        """What was found in the filled windows, for all of them; null elsewhere."""
        windows = self.windows
        values, is_null = np.zeros(len(windows.end), dtype=found.dtype), windows.count == 0
        values[windows.filled] = found
        if is_defined is not None:
            is_null[windows.filled] = ~is_defined
        return pa.array(values, mask=is_null)
