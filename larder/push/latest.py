"""The latest row of every entity out of a history that comes by in batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import History
from larder.offline.join.as_of import Asked
from larder.offline.join.latest import latest_at
from larder.offline.join.shares import share_batches
from larder.offline.retrieval.reading import StoredRows, conditions
from larder.offline.tables.kinds import INSTANT

_AT = "@instant"


def stored_batches(history: History, files: Sequence[str] | None) -> Iterator[pa.Table]:
    """The rows of some files of the table, or all rows; columns are those of `StoredRows`."""
    rows = StoredRows(history, history.features)
    if files is None:
        yield from rows.batches()
    elif files:
        yield from rows.named(share_batches(history, rows.columns, files))


def batches_of_keys(history: History, keys: pa.Table, instant: datetime) -> Iterator[pa.Table]:
    """The rows of some entities (columns: at least the join keys) that can be seen at `instant`, however old."""
    ageless = replace(history, ttl=None)
    rows = StoredRows(ageless, history.features)
    at = pa.array([instant] * keys.num_rows, INSTANT)
    asked = Asked(keys.select(list(history.keys)).append_column(_AT, at), rows.schema, ageless, at=_AT)
    for batch in rows.batches(conditions(asked)):
        yield batch.take(asked.located(batch).rows)


def latest_of(batches: Iterable[pa.Table], history: History, instant: datetime) -> pa.Table | None:
    """One row per key as serving holds it at `instant`: keys, features, `event_timestamp`, `known_at`.

    None when there are no batches. Memory holds one row per key and as many rows again.
    """
    stamped = _as_stamped(history)
    held: pa.Table | None = None
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(stamped_rows(batch, history))
        # As many rows at once as are held: each row is then looked at twice, however many batches there are.
        if held is None or sum(rows.num_rows for rows in waiting) >= held.num_rows:
            held, waiting = _latest(held, waiting, stamped, instant), []
    return _latest(held, waiting, stamped, instant) if waiting else held


def stamped_rows(rows: pa.Table, history: History) -> pa.Table:
    """Instants under the names that they have in gold and in records; a feature may be an instant, too."""
    columns = {name: rows[name] for name in (*history.keys, *history.features)}
    known_at = rows[history.known_at] if history.known_at else rows[history.event_timestamp]
    return pa.table(columns | {EVENT_TIMESTAMP: rows[history.event_timestamp], KNOWN_AT: known_at})


def latest_stamped(tables: Sequence[pa.Table], history: History, instant: datetime) -> pa.Table:
    """The latest of rows that `latest_of` found in parts of a history; `tables` are at least one."""
    return _latest(None, tables, _as_stamped(history), instant)


def _latest(held: pa.Table | None, more: Sequence[pa.Table], stamped: History, instant: datetime) -> pa.Table:
    tables = [table for table in (held, *more) if table is not None]
    return latest_at(pa.concat_tables(tables), stamped, instant=instant)


def _as_stamped(history: History) -> History:
    return replace(history, event_timestamp=EVENT_TIMESTAMP, known_at=KNOWN_AT, columns={})
