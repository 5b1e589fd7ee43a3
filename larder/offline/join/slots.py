"""Requests in order of key and instant, and where a row of history belongs among them."""

import numpy as np

from larder.offline.join.keys import NONE, Integers

_CODE_BITS, _ROW_BITS = 42, 20
"""A code and the number of a row fit into one integer together: sorting it takes half the time of an argsort."""

BATCH_ROWS = 1 << _ROW_BITS
"""Rows that find their slots at once, at most."""


class Slots:
    """One slot per request with a key and an instant, sorted by both.

    A row of history belongs into the slot of the first request of its key that can see it: that one and those
    after it, up to the next newer row, are the requests that it answers.
    """

    def __init__(self, ids: Integers, instants: Integers) -> None:
        """`ids` number the requests' keys (NONE: no key); `instants` are microseconds since the epoch."""
        self.height = len(ids)
        """Number of requests, those without a slot included."""
        asked = np.flatnonzero(ids != NONE)
        self.begin = int(instants[asked].min()) if len(asked) else 0
        self.end = int(instants[asked].max()) if len(asked) else 0
        """First and last instant asked for; both 0 when nothing is."""
        self._shift = _shift(self.end - self.begin, int(ids.max(initial=0)) + 1)
        self._stride = ((self.end - self.begin) >> self._shift) + 2
        order = _order(self._codes(ids[asked], instants[asked]), instants[asked])
        self.requests: Integers = asked[order]
        """Position of each slot's request."""
        self.ids, self.instants = ids[self.requests], instants[self.requests]
        self._derive()

    def _derive(self) -> None:
        is_next_key = np.diff(self.ids, prepend=NONE) != 0
        self.first: Integers = np.maximum.accumulate(np.where(is_next_key, np.arange(len(self.ids)), 0))
        """First slot of the same key."""
        self._sorted = self._codes(self.ids, self.instants)

    def __getstate__(self) -> dict[str, object]:
        """What a task cannot derive: the request travels to each of them."""
        derived = ("first", "_sorted")
        return {name: _narrow(value) for name, value in self.__dict__.items() if name not in derived}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= {name: _wide(value) for name, value in state.items()}
        self._derive()

    def __len__(self) -> int:
        return len(self.requests)

    def of(self, ids: Integers, visible: Integers) -> tuple[Integers, Integers]:
        """Rows that answer some request, and their slots, ascending; for at most BATCH_ROWS rows.

        `visible` is the instant from which a row can be seen, microseconds since the epoch.
        """
        can_answer = (ids != NONE) & (visible <= self.end)
        codes = np.where(can_answer, self._codes(ids, np.maximum(visible, self.begin)), 1 << _CODE_BITS)
        # Sorted, because a search that goes forward through memory takes less than half the time.
        packed = (codes << _ROW_BITS) | np.arange(len(codes))
        packed.sort()
        packed = packed[: np.searchsorted(packed, 1 << (_CODE_BITS + _ROW_BITS))]
        rows, codes = packed & (BATCH_ROWS - 1), packed >> _ROW_BITS
        # `take`, because it lets other threads run where an index in brackets does not.
        slots = self._first_seeing(codes, visible.take(rows))
        if (np.diff(slots) < 0).any():  # rows that share a code are in no order among themselves
            order = np.argsort(slots)
            rows, slots = rows[order], slots[order]
        count = int(np.searchsorted(slots, len(self)))
        rows, slots = rows[:count], slots[:count]
        own = np.flatnonzero(self.ids.take(slots) == ids.take(rows))
        return rows.take(own), slots.take(own)

    def _codes(self, ids: Integers, instants: Integers) -> Integers:
        """One integer that orders by key, then instant; instants that differ by little may share one."""
        return ids * self._stride + ((instants - self.begin) >> self._shift)

    def _first_seeing(self, codes: Integers, visible: Integers) -> Integers:
        """The first slot of the code whose instant has come to `visible`; past all of the code if there is none."""
        slots = np.searchsorted(self._sorted, codes)
        shared = np.flatnonzero(self._sorted.take(slots, mode="clip") == codes) if len(self) else slots
        low, high = slots[shared], np.searchsorted(self._sorted, codes[shared], side="right")
        while (is_open := low < high).any():
            middle = (low + high) // 2
            is_early = self.instants[np.minimum(middle, len(self) - 1)] < visible[shared]
            low, high = np.where(is_open & is_early, middle + 1, low), np.where(is_open & ~is_early, middle, high)
        slots[shared] = low
        return slots


def _order(codes: Integers, instants: Integers) -> Integers:
    """By code, then instant: one sort, and another one of the few rows that share a code."""
    order = np.argsort(codes)
    is_shared = np.diff(codes[order], prepend=-1) == 0
    shared = np.flatnonzero(is_shared | np.append(is_shared[1:], False)[: len(order)])
    rows = order[shared]
    order[shared] = rows[np.lexsort((instants[rows], codes[rows]))]
    return order


def _narrow(value: object) -> object:
    """Half the bytes where the numbers allow it."""
    if not isinstance(value, np.ndarray) or value.min(initial=0) < -(2**31) or value.max(initial=0) >= 2**31:
        return value
    return value.astype(np.int32)


def _wide(value: object) -> object:
    return value.astype(np.int64) if isinstance(value, np.ndarray) else value


def _shift(span: int, keys: int) -> int:
    """Low bits of an instant to leave out of a code, so that codes of all keys fit."""
    shift = 0
    while ((span >> shift) + 2) * keys >= 1 << _CODE_BITS:
        shift += 1
    return shift
