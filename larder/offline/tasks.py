"""What Spark tasks run for an as-of join. Imports neither Spark nor Feast, which take seconds to load."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from larder.offline.as_of import Asked
from larder.offline.delta import StoredRows, gathered
from larder.offline.held import Arrivals, Held
from larder.offline.keys import NONE, Integers
from larder.offline.shares import share_batches

SLOT, EVENT_TIMESTAMP, KNOWN_AT, PART, ROW = "@slot", "@event_timestamp", "@known_at", "@part", "@row"
PATH, SHARE = "path", "share"
ROWS_PER_BATCH = 100_000


@dataclass(frozen=True)
class Parts:
    """Slots cut into runs that end where a key ends, one per task."""

    begins: Integers
    """First slot of each part but the first."""

    @classmethod
    def of(cls, asked: Asked, count: int) -> "Parts":
        slots = len(asked.slots)
        cuts = np.arange(1, count) * slots // count
        return cls(np.unique(asked.slots.first[cuts]) if slots else cuts)

    def __len__(self) -> int:
        return len(self.begins) + 1

    def of_slots(self, slots: Integers) -> Integers:
        return np.searchsorted(self.begins, slots, side="right").astype(np.int32)


def candidates_in_files(asked: Asked, parts: Parts, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Names of some files in, out the best of their rows for each slot."""
    paths = [path for batch in batches for path in batch[PATH].to_pylist()]
    rows = StoredRows(asked.history, asked.stored.names)
    found = share_batches(asked.history, rows.columns, paths) if paths else iter(())
    yield from candidates(asked, parts, rows.named(found))


def candidates_in_rows(asked: Asked, parts: Parts, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of history in, any of them; out the best of them for each slot."""
    yield from candidates(asked, parts, gathered(batches))


def candidates(asked: Asked, parts: Parts, tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """The best rows for each slot, never more than come in."""
    held = asked.nothing_held()
    for rows in tables:
        held.take(asked.located(rows))
    slots = np.flatnonzero(held.rows != NONE)
    times = {EVENT_TIMESTAMP: held.event_timestamp[slots], KNOWN_AT: held.known_at[slots]}
    stamped = pa.table({PART: parts.of_slots(slots), SLOT: slots} | times)
    features = held.features(slots)
    yield from _beside(stamped, features).to_batches(max_chunksize=ROWS_PER_BATCH)


def answers(
    asked: Asked, dtypes: Mapping[str, pa.DataType], first_row: int, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """All candidates of some keys in; out the features in `dtypes`, cast, of each request that has an answer."""
    received = list(batches)
    if not received:
        return
    rows = pa.Table.from_batches(received)
    held = asked.nothing_held()
    held.take(_arrivals(rows, held))
    answering = asked.answering(held, asked.history.ttl)
    answered = np.flatnonzero(answering != NONE)
    features = held.features(answering[answered])
    cast = pa.table({name: features[name].cast(dtype) for name, dtype in dtypes.items()})
    yield from _beside(pa.table({ROW: answered + first_row}), cast).to_batches(max_chunksize=ROWS_PER_BATCH)


def _arrivals(rows: pa.Table, held: Held) -> Arrivals:
    slots, event, known = (rows[name].to_numpy() for name in (SLOT, EVENT_TIMESTAMP, KNOWN_AT))
    order = np.argsort(slots)
    features = rows.select(held.schema.names).cast(held.schema).combine_chunks()
    return Arrivals(slots[order], event[order], known[order], order, features)


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    return pa.table([*left.columns, *right.columns], [*left.column_names, *right.column_names])
