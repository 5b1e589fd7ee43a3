"""What a history is read from, whatever stores it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import pyarrow as pa

from larder.offline.conditions import Between, fulfilling
from larder.offline.history import History
from larder.offline.tables.columns import check_columns
from larder.offline.tables.delta_table import open_table, scanned
from larder.offline.tables.gold import check_windows, recent_position
from larder.offline.tables.kinds import in_utc
from larder.offline.tables.parquet import ParquetFiles


class Scan(Protocol):
    """Reads columns of the rows that fulfil all conditions, which must be about these columns."""

    def __call__(self, columns: Sequence[str], where: Sequence[Between] = ()) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True)
class OpenTable:
    """The table of a history, at the version that is read."""

    schema: pa.Schema
    scan: Scan
    check_columns: Callable[[Collection[str]], None]
    """Raises MissingColumnsError when the table lacks one."""
    version: int | None = None
    """None where the format has no versions."""


def open_history(history: History) -> OpenTable:
    """Raises MissingTableError when there is nothing to read yet, or what `open_table` and `check_windows` raise."""
    opened = _opened_parquet(history) if history.format == "parquet" else _opened_delta(history)
    return _in_utc(opened) if history.naive_is_utc else opened


def _opened_parquet(history: History) -> OpenTable:
    files = ParquetFiles(history.table, history.storage_options, history.types)
    return OpenTable(files.schema, files.batches, files.check_columns)


def _opened_delta(history: History) -> OpenTable:
    table = open_table(history.table, history.version, options=history.storage_options)
    if history.windows:
        check_windows(table, recent_position(table), history.windows)

    def scan(columns: Sequence[str], where: Sequence[Between] = ()) -> Iterator[pa.RecordBatch]:
        # Statistics of times without a zone say nothing about instants.
        predicate = "" if history.naive_is_utc else " AND ".join(bounds.sql() for bounds in where)
        return scanned(table, columns, predicate or None)

    return OpenTable(pa.schema(table.schema().to_arrow()), scan, partial(check_columns, table), table.version())


def _in_utc(stored: OpenTable) -> OpenTable:
    """A table with all its timestamps, naive ones too, as UTC microseconds; nanoseconds are cut off."""
    schema = pa.schema([column.with_type(in_utc(column.type)) for column in stored.schema])

    def scan(columns: Sequence[str], where: Sequence[Between] = ()) -> Iterator[pa.RecordBatch]:
        wanted = pa.schema([schema.field(name) for name in columns])
        return utc_batches(stored.scan(columns, where), wanted, where)

    return replace(stored, schema=schema, scan=scan)


def utc_batches(
    batches: Iterable[pa.RecordBatch], wanted: pa.Schema, where: Sequence[Between] = ()
) -> Iterator[pa.RecordBatch]:
    """The rows that fulfil all conditions, with the columns and types of `wanted`, whose times are in UTC."""
    for batch in batches:
        columns = [batch[column.name].cast(column.type, safe=False) for column in wanted]
        yield from fulfilling(pa.table(columns, schema=wanted), where).to_batches()
