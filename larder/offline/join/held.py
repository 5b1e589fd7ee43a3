"""What each slot holds while rows of history come in, in any order: the greatest by (event timestamp, known at)."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from larder.offline.join.keys import NONE, Integers

NO_INSTANT = np.iinfo(np.int64).min
"""Stands for a missing known-at; less than any instant."""

_SPARE_ROWS = 1_000_000


@dataclass(frozen=True)
class Arrivals:
    """Rows on their way into slots, ascending. Instants are microseconds since the epoch."""

    slots: Integers
    event_timestamp: Integers
    known_at: Integers
    rows: Integers
    """Where in `features` they are."""
    features: pa.Table


class Held:
    """One row, or none, per slot. Rows with equal times are told apart by their features, the greatest wins.

    Null is less than any value and NaN greater; features count in the order of their columns.
    """

    def __init__(self, slots: int, features: pa.Schema) -> None:
        self.schema = features
        # One more than there are slots: the place that NONE points at, where nothing is ever held.
        self.event_timestamp = np.full(slots + 1, NO_INSTANT)
        self.known_at = np.full(slots + 1, NO_INSTANT)
        self.rows = np.full(slots + 1, NONE)
        """Number of the row among those kept."""
        self.has_ties = False
        """Whether features had to decide."""
        self._kept: list[pa.Table] = [features.empty_table()]
        self._count = 0

    def take(self, arrivals: Arrivals) -> None:
        """Let rows into their slots."""
        slots, event, known, rows = arrivals.slots, arrivals.event_timestamp, arrivals.known_at, arrivals.rows
        # `take`, because it lets other threads run where an index in brackets does not.
        newer = np.flatnonzero(event > self.event_timestamp.take(slots))
        newer_slots = slots.take(newer)
        self.rows[newer_slots], self.known_at[newer_slots] = NONE, NO_INSTANT
        np.maximum.at(self.event_timestamp, newer_slots, event.take(newer))
        best = np.flatnonzero(event == self.event_timestamp.take(slots))
        slots, known, rows = slots.take(best), known.take(best), rows.take(best)
        self.rows[slots[known > self.known_at.take(slots)]] = NONE
        np.maximum.at(self.known_at, slots, known)
        best = np.flatnonzero(known == self.known_at.take(slots))
        self._hold(slots.take(best), self._keep(arrivals.features.take(rows.take(best))))

    def features(self, answering: Integers) -> pa.Table:
        """Features of the slots `answering`, row for row; all null where it says NONE."""
        rows = self.rows[answering]
        return pa.concat_tables(self._kept).take(pa.array(rows, mask=rows == NONE))

    def _hold(self, slots: Integers, rows: Integers) -> None:
        is_next = np.diff(slots, prepend=-1) == 0
        is_tied = is_next | np.append(is_next[1:], False)[: len(slots)] | (self.rows[slots] != NONE)
        self.rows[slots[~is_tied]] = rows[~is_tied]
        if is_tied.any():
            self.has_ties = True
            self._contest(slots[is_tied], rows[is_tied])

    def _contest(self, slots: Integers, rows: Integers) -> None:
        before = np.unique(slots)
        before = before[self.rows[before] != NONE]
        slots, rows = np.concatenate([slots, before]), np.concatenate([rows, self.rows[before]])
        values = pl.DataFrame(pl.from_arrow(pa.concat_tables(self._kept).take(rows)))
        values.columns = [f"feature_{position}" for position in range(values.width)]
        contest = pl.DataFrame({"slot": slots, "row": rows}).hstack(values).sort("slot", *values.columns)
        winners = contest.filter((pl.col("slot") != pl.col("slot").shift(-1)).fill_null(True))
        self.rows[winners["slot"].to_numpy()] = winners["row"].to_numpy()

    def _keep(self, features: pa.Table) -> Integers:
        """Numbers of the new rows."""
        if self._count > 2 * len(self.rows) + _SPARE_ROWS:
            self._drop_beaten()
        self._kept.append(features)
        self._count += features.num_rows
        return np.arange(self._count - features.num_rows, self._count)

    def _drop_beaten(self) -> None:
        holding = np.flatnonzero(self.rows != NONE)
        self._kept = [pa.concat_tables(self._kept).take(self.rows[holding]).combine_chunks()]
        self.rows[holding] = np.arange(len(holding))
        self._count = len(holding)
