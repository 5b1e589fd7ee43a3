"""Bulk writes that cannot move a value backwards: compare-and-set inside Redis."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import redis

from larder.contracts.plan import ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.packed.keys import view_prefix
from larder.online.packed.packing import packed_keys, packed_records, typed_rows
from larder.online.packed.record import Layout
from larder.online.writing.compare_and_set import Records, write_newest

FUTURE_TOLERANCE = timedelta(minutes=1)
"""How far the clocks of a source and of this machine may differ."""

ROWS_PER_PIPELINE = 16_384


@dataclass(frozen=True)
class WriteCounts:
    """What became of the rows of one write."""

    written: int = 0
    """Now in Redis."""
    kept: int = 0
    """Not written because a later row of the same entity was or is there."""
    refused_future: int = 0
    """Dated later than now plus the tolerance."""
    refused_null_key: int = 0
    """Without a value in a join key; such an entity is never found."""

    def __add__(self, other: "WriteCounts") -> "WriteCounts":
        return WriteCounts(
            self.written + other.written,
            self.kept + other.kept,
            self.refused_future + other.refused_future,
            self.refused_null_key + other.refused_null_key,
        )


def write_records(
    client: redis.Redis,
    view: ViewPlan,
    project: str,
    rows: pa.Table,
    *,
    now: datetime | None = None,
    tolerance: timedelta = FUTURE_TOLERANCE,
) -> WriteCounts:
    """Store each entity's latest row by (event_timestamp, known_at); equal instants overwrite.

    `rows` has the view's join keys and features, event_timestamp and known_at (null: the event
    timestamp), in any order, duplicates allowed. `now` None accepts rows of any date. Safe beside other
    writers; a write that failed half way may be repeated. Raises MissingColumnsError or InvalidDataError
    before anything is written, OnlineStoreError when Redis fails.
    """
    layout, prefix = Layout(view), view_prefix(project, view.name)
    typed = typed_rows(view, rows)
    storable = _without_null_keys(view, typed)
    dated = storable if now is None else storable.filter(pc.less_equal(storable[EVENT_TIMESTAMP], now + tolerance))
    counts = WriteCounts(
        refused_future=storable.num_rows - dated.num_rows, refused_null_key=typed.num_rows - storable.num_rows
    )
    parts = (dated.slice(start, ROWS_PER_PIPELINE) for start in range(0, dated.num_rows, ROWS_PER_PIPELINE))
    written = _written(client, (_latest_records(layout, prefix, part) for part in parts))
    return counts + WriteCounts(written=written, kept=dated.num_rows - written)


def _written(client: redis.Redis, parts: Iterable[Records]) -> int:
    """How many records of the parts were stored, one part after the other: of equal instants the last one counts."""
    written, under_way = 0, None
    with ThreadPoolExecutor(1) as sender:
        for part in parts:  # is packed while Redis takes the one before
            written += under_way.result() if under_way else 0
            under_way = sender.submit(write_newest, client, part)
        return written + (under_way.result() if under_way else 0)


def _without_null_keys(view: ViewPlan, rows: pa.Table) -> pa.Table:
    for key in view.join_keys:
        if rows[key.name].null_count:
            rows = rows.filter(rows[key.name].is_valid())
    return rows


def _latest_records(layout: Layout, prefix: bytes, rows: pa.Table) -> Records:
    """Of several rows for one entity the latest, of equal instants the last one."""
    keys, records = packed_keys(prefix, layout.view, rows), packed_records(layout, rows)
    names = keys.to_pylist()
    if len(set(names)) == len(names):
        return Records(keys, records)
    event, known = (rows[name].cast(pa.int64()).to_numpy() for name in (EVENT_TIMESTAMP, KNOWN_AT))
    latest = {names[row]: row for row in np.lexsort((known, event)).tolist()}  # a stable sort, earliest first
    chosen = pa.array(latest.values(), pa.int64())
    return Records(keys.take(chosen), records.take(chosen))
