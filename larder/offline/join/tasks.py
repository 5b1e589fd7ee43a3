"""What Spark tasks run for an as-of join. Imports neither Spark nor Feast, which take seconds to load."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from larder.offline.join.as_of import Asked
from larder.offline.join.held import Arrivals, Held
from larder.offline.join.keys import NONE, Integers
from larder.offline.join.shares import share_batches
from larder.offline.retrieval.reading import StoredRows, gathered

if TYPE_CHECKING:
    from pyspark import Broadcast

SLOT, EVENT_TIMESTAMP, KNOWN_AT, PART, ROW = "@slot", "@event_timestamp", "@known_at", "@part", "@row"
PACKED = "packed"
ROWS_PER_VALUE = 100_000
"""A value of Spark is at most two gigabytes; so many rows fit, embeddings included."""


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


def with_request(
    work: Callable[..., Iterator[pa.RecordBatch]], sent: "Broadcast[Asked]", *arguments: Any
) -> Iterator[pa.RecordBatch]:
    """One of the functions below, which all begin with the request; a worker unpacks it once, not once per task."""
    yield from work(sent.value, *arguments)


def candidates_in_files(
    asked: Asked, parts: Parts, shares: Sequence[Sequence[str]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Numbers of shares in, out the best of the rows in their files for each slot."""
    paths = [path for batch in batches for number in batch[0].to_pylist() for path in shares[number]]
    rows = StoredRows(asked.history, asked.stored.names)
    found = share_batches(asked.history, rows.columns, paths) if paths else iter(())
    yield from _candidates(asked, parts, rows.named(found))


def candidates_in_rows(asked: Asked, parts: Parts, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of history in, any of them; out the best of them for each slot."""
    yield from _candidates(asked, parts, gathered(batches))


def answers(
    asked: Asked, names: Sequence[str], first_row: int, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """All candidates of some keys in; out, packed, `@row` and the features `names` of answered requests."""
    held = asked.nothing_held()
    for batch in batches:
        for candidates in unpacked(batch[PACKED]):
            held.take(_arrivals(candidates, held))
    answering = asked.answering(held, asked.history.ttl)
    answered = np.flatnonzero(answering != NONE)
    for first in range(0, len(answered), ROWS_PER_VALUE):
        rows = answered[first : first + ROWS_PER_VALUE]
        features = held.features(answering[rows]).select(names)
        value = packed(_beside(pa.table({ROW: rows + first_row}), features))
        yield pa.record_batch({PACKED: pa.array([value], pa.binary())})


def packed(table: pa.Table) -> bytes:
    """A table as one value of a row, which Spark moves without taking it to pieces."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpacked(values: Iterable[pa.Scalar]) -> list[pa.Table]:
    return [pa.ipc.open_stream(value.as_buffer()).read_all() for value in values]


def _candidates(asked: Asked, parts: Parts, tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """The best rows for each slot, never more than come in, packed by part."""
    held = asked.nothing_held()
    for rows in tables:
        held.take(asked.located(rows))
    filled = np.flatnonzero(held.rows != NONE)
    bounds = [0, *np.searchsorted(filled, parts.begins).tolist(), len(filled)]
    for part, (start, stop) in enumerate(pairwise(bounds)):
        for first in range(start, stop, ROWS_PER_VALUE):
            slots = filled[first : min(first + ROWS_PER_VALUE, stop)]
            stamps = {SLOT: slots.astype(np.int32), EVENT_TIMESTAMP: held.event_timestamp[slots]}
            if asked.history.known_at:
                stamps[KNOWN_AT] = held.known_at[slots]
            value = packed(_beside(pa.table(stamps), held.features(slots)))
            yield pa.record_batch({PART: pa.array([part], pa.int32()), PACKED: pa.array([value], pa.binary())})


def _arrivals(rows: pa.Table, held: Held) -> Arrivals:
    slots, event = rows[SLOT].to_numpy().astype(np.int64), rows[EVENT_TIMESTAMP].to_numpy()
    known = rows[KNOWN_AT].to_numpy() if KNOWN_AT in rows.column_names else event
    return Arrivals(slots, event, known, np.arange(len(slots)), rows.select(held.schema.names).combine_chunks())


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    return pa.table([*left.columns, *right.columns], [*left.column_names, *right.column_names])
