"""What each slot holds while rows of history come in, in any order: the greatest by (event timestamp, known at)."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from larder.offline.join.columns import frame
from larder.offline.join.keys import NONE, Integers

NO_INSTANT = np.iinfo(np.int64).min
"""Where nothing is held yet; less than any instant."""

_SPARE_ROWS = 1_000_000


@dataclass(frozen=True)
class Arrivals:
    """Rows on their way into slots. Instants are microseconds since the epoch."""

    slots: Integers
    event_timestamp: Integers
    known_at: Integers
    rows: Integers
    """Where in `features` they are."""
    features: pa.Table


class Held:
    """One row, or none, per slot. Rows with equal times are told apart by their features, the `greatest` wins."""

    def __init__(self, slots: int, features: pa.Schema) -> None:
        self.schema = features
        # One more than there are slots: the place that NONE points at, where nothing is ever held.
        self.event_timestamp = np.full(slots + 1, NO_INSTANT)
        self.known_at = np.full(slots + 1, NO_INSTANT)
        self.rows = np.full(slots + 1, NONE)
        """Number of the row among those kept."""
        self.has_ties = False
        """Whether features had to decide."""
        self._held_event = np.full(slots + 1, NO_INSTANT)
        """Event timestamp of the row in `rows`, which `event_timestamp` passes first."""
        self._kept: list[pa.Table] = [features.empty_table()]
        self._count = 0

    def take(self, arrivals: Arrivals) -> None:
        """Let rows into their slots."""
        slots, event, known, rows = arrivals.slots, arrivals.event_timestamp, arrivals.known_at, arrivals.rows
        np.maximum.at(self.event_timestamp, slots, event)
        # `take`, because it lets other threads run where an index in brackets does not.
        best = np.flatnonzero(event == self.event_timestamp.take(slots))
        slots, event, known, rows = (column.take(best) for column in (slots, event, known, rows))
        is_newer = event > self._held_event.take(slots)
        newer = slots.compress(is_newer)
        self.rows[newer], self.known_at[newer], self._held_event[newer] = NONE, NO_INSTANT, event.compress(is_newer)
        self.rows[slots.compress(known > self.known_at.take(slots))] = NONE
        np.maximum.at(self.known_at, slots, known)
        best = np.flatnonzero(known == self.known_at.take(slots))
        self._hold(slots.take(best), self._keep(arrivals.features.take(rows.take(best))))

    def features(self, answering: Integers) -> pa.Table:
        """Features of the slots `answering`, row for row; all null where it says NONE."""
        rows = self.rows[answering]
        return pa.concat_tables(self._kept).take(pa.array(rows, mask=rows == NONE))

    def _hold(self, slots: Integers, rows: Integers) -> None:
        """Rows that no other one beats by its times."""
        is_free = self.rows.take(slots) == NONE
        self.rows[slots.compress(is_free)] = rows.compress(is_free)
        tied = np.flatnonzero(self.rows.take(slots) != rows)
        if len(tied):
            self.has_ties = True
            self._contest(slots[tied], rows[tied])

    def _contest(self, slots: Integers, rows: Integers) -> None:
        before = np.unique(slots)
        slots, rows = np.concatenate([slots, before]), np.concatenate([rows, self.rows[before]])
        winners = greatest(slots, pa.concat_tables(self._kept).take(rows))
        self.rows[slots[winners]] = rows[winners]

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


def greatest(groups: Integers, features: pa.Table) -> Integers:
    """Which row of `features` is the greatest of its group, ascending by group; `groups` numbers that of each row.

    Null is less than any value and NaN greater; features count in the order of their columns.
    """
    values = frame(features, features.column_names)
    values.columns = [f"feature_{position}" for position in range(values.width)]
    contest = pl.DataFrame({"group": groups}).with_row_index("row").hstack(values).sort("group", *values.columns)
    winners = contest.filter((pl.col("group") != pl.col("group").shift(-1)).fill_null(True))
    return winners["row"].cast(pl.Int64).to_numpy()
