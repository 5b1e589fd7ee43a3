"""Requests in order of key and instant, and where a row of history belongs among them."""

import numpy as np

from larder.offline.join.keys import NONE, Integers
from larder.offline.join.sorting import sorted_rows

_NEVER = np.iinfo(np.int64).min
"""Before any instant."""


class Slots:
    """One slot per request with a key and an instant, sorted by both.

    A row of history belongs into the slot of the first request of its key that can see it: that one and those
    after it, up to the next newer row, are the requests that it answers.
    """

    def __init__(self, ids: Integers, instants: Integers, *, keys: int) -> None:
        """`ids` number the requests' keys, of which there are `keys`, from 0; NONE stands for no key.

        `instants` are microseconds since the epoch.
        """
        self.height = len(ids)
        """Number of requests, those without a slot included."""
        asked = np.flatnonzero(ids != NONE)
        self.requests: Integers = asked[sorted_rows(ids[asked], instants[asked])]
        """Position of each slot's request."""
        self.ids, self.instants = ids[self.requests], instants[self.requests]
        self.begin = int(self.instants.min()) if len(asked) else 0
        self.end = int(self.instants.max()) if len(asked) else 0
        """First and last instant asked for; both 0 when nothing is."""
        self._keys = keys
        self._derive()

    def _derive(self) -> None:
        is_next_key = np.diff(self.ids, prepend=NONE) != 0
        self.first: Integers = np.maximum.accumulate(np.where(is_next_key, np.arange(len(self.ids)), 0))
        """First slot of the same key."""
        # One entry more than there are keys, which NONE points at and no row reaches.
        self._until = np.full(self._keys + 1, _NEVER)
        self._until[self.ids] = self.instants  # of several the last one stays, which is the latest
        # Each key's time is cut into two to four equal buckets per slot: most hold one slot or none.
        counts = np.bincount(self.ids, minlength=self._keys + 1)
        span = self.end - self.begin
        self._shift: Integers = np.maximum(span.bit_length() - np.frexp(counts)[1] - 1, 0).astype(np.int64)
        buckets = (span >> self._shift) + 1
        self._bucket: Integers = np.cumsum(buckets) - buckets
        filled = np.bincount(self._bucket_of(self.ids, self.instants), minlength=int(buckets.sum()))
        self._starts = np.append(0, np.cumsum(filled)).astype(np.int32)

    def __getstate__(self) -> dict[str, object]:
        """What a task cannot derive: the request travels to each of them."""
        derived = ("first", "_until", "_shift", "_bucket", "_starts")
        return {name: _narrow(value) for name, value in self.__dict__.items() if name not in derived}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= {name: _wide(value) for name, value in state.items()}
        self._derive()

    def __len__(self) -> int:
        return len(self.requests)

    def of(self, ids: Integers, visible: Integers) -> tuple[Integers, Integers]:
        """Rows that answer some request, ascending, and their slots.

        `visible` is the instant from which a row can be seen, microseconds since the epoch.
        """
        visible = np.maximum(visible, self.begin)
        # `take`, here and below, because it lets other threads run where an index in brackets does not.
        rows = np.flatnonzero(visible <= self._until.take(ids))
        ids, visible = ids.take(rows), visible.take(rows)
        return rows, self._first_seeing(ids, visible)

    def _bucket_of(self, ids: Integers, instants: Integers) -> Integers:
        return self._bucket.take(ids) + ((instants - self.begin) >> self._shift.take(ids))

    def _first_seeing(self, ids: Integers, visible: Integers) -> Integers:
        """The first slot of the key whose instant has come to `visible`, from `begin` on; there is one."""
        buckets = self._bucket_of(ids, visible)
        slots = self._starts.take(buckets).astype(np.int64)
        rows = np.flatnonzero(self.instants.take(slots) < visible)
        low, high = slots.take(rows) + 1, self._starts.take(buckets.take(rows) + 1).astype(np.int64)
        visible = visible.take(rows)
        while len(rows):
            middle = (low + high) >> 1
            is_early = self.instants.take(middle) < visible
            low, high = np.where(is_early, middle + 1, low), np.where(is_early, high, middle)
            slots[rows] = low
            is_open = np.flatnonzero(low < high)
            rows, low, high, visible = (column.take(is_open) for column in (rows, low, high, visible))
        return slots


def _narrow(value: object) -> object:
    """Half the bytes where the numbers allow it."""
    if not isinstance(value, np.ndarray) or value.min(initial=0) < -(2**31) or value.max(initial=0) >= 2**31:
        return value
    return value.astype(np.int32)


def _wide(value: object) -> object:
    return value.astype(np.int64) if isinstance(value, np.ndarray) else value
