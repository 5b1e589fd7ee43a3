"""The as-of join: for each request row, the feature values that serving held at that instant.

A row of history is put into the slot of the first request that can see it, where only the greatest by (event
timestamp, known at) stays. Going through a key's slots in order of time, the greatest so far is what a store
written by compare-and-set would hold. Rows may come in any order and in any number of batches; what is kept is
the requests and one row for each.
"""

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from larder.offline.history import History
from larder.offline.join.columns import frame, microseconds
from larder.offline.join.held import Arrivals, Held
from larder.offline.join.keys import NONE, Integers, RequestKeys
from larder.offline.join.slots import Slots

BATCH_ROWS = 1_000_000
"""Rows of a table that find their slots at once: few passes, and little memory for each."""
_AT = "@instant"


def as_of_join(requests: pa.Table, history_rows: pa.Table, history: History, *, at: str) -> pa.Table:
    """The features in `history_rows` as serving held them at `at`: one row per request row, in its order.

    `requests` holds the join keys under the view's names and the instant `at` (with a time zone).
    A row without a match, with a null key, or whose value is older than the ttl is all null.
    """
    asked = Asked(requests, history_rows.schema, history, at=at)
    held = _held(asked, history_rows)
    return asked.features(held)


class Asked:
    """Requests made ready for a history that comes by in batches; never changes, so that threads and tasks share it."""

    def __init__(self, requests: pa.Table, stored: pa.Schema, history: History, *, at: str) -> None:
        """`requests` as for `as_of_join`; `stored` is the schema of the batches to come."""
        asked = frame(requests, [*history.keys, at])
        dtypes = frame(stored.empty_table(), history.keys).schema
        instants = microseconds(asked[at])
        self.history = history
        self.keys = RequestKeys(asked, history.keys, dtypes, table=history.table)
        ids = np.where(instants.is_null().to_numpy(), NONE, self.keys.of_requests)
        self.slots = Slots(ids, instants.fill_null(0).to_numpy(), keys=len(self.keys))
        self.stored = pa.schema([stored.field(name) for name in history.features if name in stored.names])
        """Features that the batches hold, in the view's order."""

    def nothing_held(self) -> Held:
        return Held(len(self.slots), self.stored)

    def located(self, rows: pa.Table) -> Arrivals:
        """The rows of a batch that may answer, at their slots. Without a key or a time that is needed, none may."""
        history = self.history
        times = frame(rows, history.times)
        event = microseconds(times[history.event_timestamp])
        known = microseconds(times[history.known_at]) if history.known_at else event
        is_timed = event.is_not_null() & known.is_not_null() if history.cutoff else event.is_not_null()
        # As in Redis: a row that does not say when it became known was known at its event timestamp.
        event_at, known_at = (time.fill_null(0).to_numpy() for time in (event, known.fill_null(event)))
        visible_at = np.maximum(event_at, known_at) if history.cutoff else event_at
        ids = np.where(is_timed.to_numpy(), self.keys.of(frame(rows, history.keys)), NONE)
        found, slots = self.slots.of(ids, visible_at)
        features = rows.select(self.stored.names).combine_chunks()
        return Arrivals(slots, event_at.take(found), known_at.take(found), found, features)

    def answering(self, held: Held, ttl: timedelta | None = None) -> Integers:
        """The slot whose row answers each request; NONE where there is none or it is older than `ttl`."""
        slots = self.slots
        filled = np.flatnonzero(held.rows != NONE)
        filled = filled[_never_moving_back(slots.ids[filled], held.event_timestamp[filled])]
        latest = np.full(len(slots), NONE)
        latest[filled] = filled
        latest = np.maximum.accumulate(latest)
        is_valid = latest >= slots.first
        if ttl:
            is_valid &= slots.instants - held.event_timestamp[latest] <= ttl // timedelta(microseconds=1)
        answering = np.full(slots.height, NONE)
        answering[slots.requests] = np.where(is_valid, latest, NONE)
        return answering

    def features(self, held: Held) -> pa.Table:
        """The stored features, one row per request in the order of the requests, after the view's ttl."""
        return held.features(self.answering(held, self.history.ttl))


def _held(asked: Asked, rows: pa.Table) -> Held:
    held = asked.nothing_held()
    for start in range(0, rows.num_rows, BATCH_ROWS):
        held.take(asked.located(rows.slice(start, BATCH_ROWS)))
    return held


def _never_moving_back(ids: Integers, events: Integers) -> npt.NDArray[np.bool_]:
    """Which slots hold no older event than an earlier slot of their key."""
    moves_back = (np.diff(events, prepend=events[:1]) < 0) & (np.diff(ids, prepend=NONE) == 0)
    if not moves_back.any():
        return np.ones(len(ids), dtype=np.bool_)
    slots = pl.DataFrame({"key": ids, "event": events})
    is_newest = slots.select(pl.col("event") >= pl.col("event").cum_max().over("key")).to_series()
    return np.asarray(is_newest.to_numpy(), dtype=np.bool_)
