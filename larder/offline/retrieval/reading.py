"""Reading the history of a view: a pinned version of its table, only the columns and rows that are needed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import pyarrow as pa

from larder.contracts.clock import EPOCH
from larder.contracts.errors import InvalidDataError
from larder.offline.history import History
from larder.offline.join.as_of import Asked
from larder.offline.retrieval.conditions import Between, key_range, time_range
from larder.offline.tables.kinds import INSTANT, without_views
from larder.offline.tables.opening import OpenTable, open_history

BATCH_ROWS, BATCH_BYTES = 800_000, 256_000_000
"""A batch ends with the first of the two that is reached: few batches of numbers, and no huge one of embeddings."""


def pinned(history: History) -> History:
    """`history` at the version that its table has now, so that later reads see the same rows unchecked."""
    return replace(history, version=open_history(history).version, windows=None)


def as_utc(instant: datetime) -> datetime:
    """An end of a range; Feast passes it on without a time zone when its caller gave none, and means UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def read_history(history: History, *, columns: Sequence[str] | None = None, until: datetime | None = None) -> pa.Table:
    """Keys, times and features, named as the view names them; times are UTC microseconds.

    `columns` selects features (None: all of them); `until` leaves out rows with a later event timestamp.
    Raises MissingTableError, MissingColumnsError, or InvalidDataError when a time has no time zone.
    """
    rows = StoredRows(history, history.features if columns is None else columns)
    where = [] if until is None else [time_range(history, until=until)]
    return pa.concat_tables([rows.schema.empty_table(), *rows.batches(where)])


@dataclass(frozen=True)
class StoredRows:
    """The rows of a history with its keys, times and some features, before they are read.

    Creating it raises what `read_history` raises.
    """

    history: History
    features: Sequence[str]

    def __post_init__(self) -> None:
        self.table.check_columns(self._stored.values())
        _check_times(self.history, self.table.schema)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the batches, under the view's names."""
        found = self.table.schema
        return pa.schema(
            (name, _plain_type(found.field(column).type, name in self.history.times))
            for name, column in self._stored.items()
        )

    def batches(self, where: Iterable[Between] = ()) -> Iterator[pa.Table]:
        """All rows that fulfil the conditions `where`, in no particular order."""
        return self.named(self.table.scan(self.columns, tuple(where)))

    def named(self, found: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Batches with the table's names and types as batches with the view's."""
        for batch in gathered(found):
            yield pa.table([batch[column] for column in self._stored.values()], list(self._stored)).cast(self.schema)

    @property
    def columns(self) -> list[str]:
        """Columns of the table that are read."""
        return sorted(set(self._stored.values()))

    @cached_property
    def table(self) -> OpenTable:
        """At the version of the history."""
        return open_history(self.history)

    @cached_property
    def _stored(self) -> Mapping[str, str]:
        """Name in the view -> column of the table."""
        names = dict.fromkeys((*self.history.keys, *self.history.times, *self.features))
        return {name: self.history.column(name) for name in names}


def conditions(asked: Asked) -> Iterator[Between]:
    """What a row must fulfil to answer anything; Delta's statistics then spare whole files."""
    history, slots = asked.history, asked.slots
    if last := instant_of(slots.end):
        ttl = history.ttl // timedelta(microseconds=1) if history.ttl else None
        yield time_range(history, since=None if ttl is None else instant_of(slots.begin - ttl), until=last)
    if (keys := asked.keys.range) and all(isinstance(key, int | str) for key in keys):
        yield key_range(history, *keys)


def gathered(found: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The engine's many small batches as few larger ones."""
    parts: list[pa.RecordBatch] = []
    rows = size = 0
    for part in found:
        parts.append(part)
        rows, size = rows + part.num_rows, size + part.nbytes
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield pa.Table.from_batches(parts)
            parts, rows, size = [], 0, 0
    if parts:
        yield pa.Table.from_batches(parts)


def _plain_type(dtype: pa.DataType, is_time: bool) -> pa.DataType:
    """Times as UTC microseconds; text and bytes in the layout that every Arrow library reads."""
    if is_time:
        return INSTANT
    return without_views(dtype)


def instant_of(microseconds: int) -> datetime | None:
    """UTC; None where Python has no such year."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _check_times(history: History, schema: pa.Schema) -> None:
    for name in history.times:
        column = history.column(name)
        dtype = schema.field(column).type
        if not pa.types.is_timestamp(dtype) or dtype.tz is None:
            raise InvalidDataError(
                f"Column {column!r} of {history.table} is {dtype}, but an instant needs a timestamp with a time zone. "
                "Write it as Delta `timestamp` (UTC), not as `timestamp_ntz`, date or text."
            )
