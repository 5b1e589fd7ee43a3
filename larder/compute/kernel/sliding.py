"""Functions over sliding windows of many keys at once, linear in events whatever the windows' length.

Time is counted in ticks of the slide; the window of length w at tick g covers the events of (g - w, g].
Sums are never taken as differences of running totals, which drift. Instead ticks are cut into blocks as long
as the window, at multiples of its length from the epoch: a window is then the end of one block and the
beginning of the next. The order of all additions depends on nothing but the events inside the window.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from larder.compute.kernel.ranks import Integers

Values: TypeAlias = npt.NDArray[Any]
Combine: TypeAlias = Callable[[Values, Values], Values]


@dataclass(frozen=True)
class Axis:
    """One line of integers on which the ticks of each key lie apart from those of the others."""

    first: int
    """Earliest tick."""
    stride: int
    """Distance between the same tick of two keys: no window reaches from one key into another."""

    @classmethod
    def over(cls, ticks: Integers, longest: int) -> "Axis":
        first, last = (int(ticks.min()), int(ticks.max())) if len(ticks) else (0, 0)
        return cls(first - longest, last - first + 2 * longest + 1)

    def places(self, ranks: Integers, ticks: Integers) -> Integers:
        return ranks * self.stride + (ticks - self.first)


@dataclass(frozen=True)
class Events:
    """Points on the axis: the key's rank, the tick, and the place that follows from both."""

    ranks: Integers
    ticks: Integers
    places: Integers

    def take(self, rows: Values) -> "Events":
        return Events(self.ranks[rows], self.ticks[rows], self.places[rows])


@dataclass(frozen=True)
class Windows:
    """The window of one length at each of some instants, as a range of events."""

    events: Events
    """In canonical order, which their content alone decides: by key, then time, then value."""
    instants: Events
    """Ascending."""
    length: int
    end: Integers
    """Number of the first event after the window."""

    @cached_property
    def start(self) -> Integers:
        """Number of the first event in the window; equal to `end` when it is empty."""
        return passed(self.events.places + self.length, self.instants.places)

    @cached_property
    def count(self) -> Integers:
        return self.end - self.start

    @cached_property
    def filled(self) -> Integers:
        """Numbers of the windows that hold an event."""
        return np.flatnonzero(self.count)

    def folded(self, values: Values, combine: Combine) -> Values:
        """`combine` over the events of each filled window. Events lie along the last axis of `values`."""
        parts = self._parts
        prefix = _running(values, parts.position, combine)
        suffix = _running(values[..., ::-1], parts.remaining[::-1], combine)[..., ::-1]
        result = np.concatenate([prefix, suffix], axis=-1).take(parts.newest, axis=-1)
        result[..., parts.cut] = combine(suffix.take(parts.older, axis=-1), result.take(parts.cut, axis=-1))
        return result

    @cached_property
    def _parts(self) -> "_Parts":
        block = self.events.ticks // self.length
        is_new = (np.diff(self.events.ranks, prepend=-1) != 0) | (np.diff(block, prepend=0) != 0)
        begins = np.flatnonzero(is_new)
        sizes = np.diff(begins, append=len(block))
        position = np.arange(len(block)) - np.repeat(begins, sizes)
        start, last = self.start[self.filled], self.end[self.filled] - 1
        is_cut = last - position[last] > start
        ends_in_own_block = block[last] == self.instants.ticks[self.filled] // self.length
        cut = np.flatnonzero(is_cut)
        return _Parts(
            position=position,
            remaining=np.repeat(sizes, sizes) - 1 - position,
            newest=np.where(is_cut | ends_in_own_block, last, start + len(block)),
            cut=cut,
            older=start[cut],
        )

    def distinct(self, values: Integers) -> Integers:
        """Number of different values in each window: of values' presences begun, less those ended."""
        order = np.lexsort((self.events.ticks, values, self.events.ranks))
        ranks, ticks, places = (array[order] for array in (self.events.ranks, self.events.ticks, self.events.places))
        is_other = (np.diff(ranks, prepend=-1) != 0) | (np.diff(values[order], prepend=-1) != 0)
        is_first = is_other | (np.diff(ticks, prepend=0) > self.length)
        is_last = np.append(is_first[1:], True)[: len(order)]
        begun, ended = np.sort(places[is_first]), np.sort(places[is_last] + self.length)
        return passed(begun, self.instants.places) - passed(ended, self.instants.places)


@dataclass(frozen=True)
class _Parts:
    """Of what the windows are put together. Numbers of windows count the filled ones only."""

    position: Integers
    """Of each event: how many come before it in its key and block."""
    remaining: Integers
    """Of each event: how many come after it there."""
    newest: Integers
    """Per window: its newest event n for the block up to it, or events + n for the block from n on."""
    cut: Integers
    """Windows that reach back into the block before."""
    older: Integers
    """Per window cut: the event from which on that block belongs to it."""


def passed(places: Integers, instants: Integers) -> Integers:
    """How many of `places` each instant has reached; both ascend."""
    # Events are fewer than the instants that they make, so it is the events that are searched for.
    reached = np.bincount(np.searchsorted(instants, places), minlength=len(instants) + 1)
    return np.cumsum(reached[:-1])


def moments(values: Values) -> Values:
    """Count, mean and sum of squared deviations of each single value, to be folded with `merged_moments`."""
    return np.stack([np.ones_like(values), values, np.zeros_like(values)])


def merged_moments(a: Values, b: Values) -> Values:
    """Moments of two groups together, stable where a difference of sums of squares is not."""
    count = a[0] + b[0]
    delta = b[1] - a[1]
    return np.stack([count, a[1] + delta * (b[0] / count), a[2] + b[2] + delta * delta * (a[0] * b[0] / count)])


def _running(values: Values, position: Integers, combine: Combine) -> Values:
    """At each event, `combine` over its block from the beginning up to it, in log2(block) steps."""
    result = values.copy()
    step, rows = 1, np.flatnonzero(position)
    while len(rows):
        result[..., rows] = combine(result[..., rows - step], result[..., rows])
        step *= 2
        rows = rows[position[rows] >= step]
    return result
