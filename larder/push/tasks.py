"""What Spark tasks run for a push. Imports neither Spark nor Feast, which take seconds to load."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

from larder.contracts.plan import ViewPlan
from larder.offline.history import History
from larder.offline.join.tasks import PACKED, PART, ROWS_PER_VALUE, packed, unpacked
from larder.offline.retrieval.reading import gathered
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.push.latest import latest_of, latest_stamped, stored_batches
from larder.push.plan import PushPlan
from larder.push.quarantine import FUTURE, NULL_KEY, Refused, distinct, keep_refused
from larder.push.write import Online, record_keys, write_latest

COUNTS = ("written", "entities", FUTURE, NULL_KEY)
"""Columns of what `write_share` returns."""


@dataclass(frozen=True)
class Work:
    """One push, as it travels to its tasks."""

    history: History
    plan: PushPlan
    """Without its files, which are dealt out."""
    instant: datetime
    now: datetime
    quarantine: str
    address: str
    """Of Redis."""
    project: str
    view: ViewPlan
    parts: int
    """Keys are dealt out to so many tasks; the task after the last has the refused rows."""


def latest_in_files(
    work: Work, shares: Sequence[Sequence[str]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Numbers of shares in; out, packed by part, the latest row of each key in their files."""
    files = [path for batch in batches for number in batch[0].to_pylist() for path in shares[number]]
    yield from _latest(work, stored_batches(work.history, files))


def latest_in_rows(work: Work, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of history in, any of them; out, packed by part, the latest of each key among them."""
    yield from _latest(work, gathered(batches))


def write_share(work: Work, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All that tasks found for some keys in; it goes to Redis, and counts come out."""
    rows, refused = _received(work, batches)
    written = entities = 0
    if rows is not None:
        client = connect(work.address, timeout_seconds=BULK_TIMEOUT_SECONDS)
        try:
            written = write_latest(Online(client, work.project, work.view), work.plan, rows)
        finally:
            client.close()
        entities = rows.num_rows
    kept = keep_refused(work.quarantine, distinct(refused), work.history, work.now)
    counts = (written, entities, kept.get(FUTURE, 0), kept.get(NULL_KEY, 0))
    yield pa.record_batch([pa.array([count], pa.int64()) for count in counts], list(COUNTS))


def keys_of_share(work: Work, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All that tasks found for some keys in; out, the Redis keys of the entities."""
    rows, _ = _received(work, batches)
    if rows is not None:
        keys = record_keys(work.view, work.project, rows)
        yield pa.record_batch([pa.array(keys, pa.binary())], ["key"])


def _latest(work: Work, batches: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    refused = Refused(work.history, work.now)
    rows = latest_of(refused.noting(batches), work.history, work.instant)
    if rows is not None:
        parts = _parts(rows, work)
        for part in range(work.parts):
            yield from _packed(part, rows.filter(pa.array(parts == part)))
    yield from _packed(work.parts, refused.rows)


def _parts(rows: pa.Table, work: Work) -> "pl.Series":
    """The part of each row's key: the same in every task, for rows of a key have to meet."""
    if not work.history.keys:
        return pl.zeros(rows.num_rows, pl.UInt64, eager=True)
    keys = pl.DataFrame(pl.from_arrow(rows.select(list(work.history.keys))))
    return keys.hash_rows(seed=0) % work.parts


def _packed(part: int, rows: pa.Table) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows.num_rows, ROWS_PER_VALUE):
        value = packed(rows.slice(start, ROWS_PER_VALUE))
        yield pa.record_batch({PART: pa.array([part], pa.int32()), PACKED: pa.array([value], pa.binary())})


def _received(work: Work, batches: Iterable[pa.RecordBatch]) -> tuple[pa.Table | None, list[pa.Table]]:
    """The latest row of each key, and refused rows."""
    latest: list[pa.Table] = []
    refused: list[pa.Table] = []
    for batch in batches:
        for part, table in zip(batch[PART].to_pylist(), unpacked(batch[PACKED]), strict=True):
            (refused if part == work.parts else latest).append(table)
    return (latest_stamped(latest, work.history, work.instant) if latest else None), refused
