"""What a history is read from, whatever stores it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from larder.contracts.errors import UnsupportedError
from larder.offline.history import History
from larder.offline.retrieval.conditions import Between, fulfilling
from larder.offline.tables.arrow_files import delta_dataset, file_batches
from larder.offline.tables.columns import check_columns
from larder.offline.tables.delta_table import open_table, reading, scanned
from larder.offline.tables.gold import check_windows, told_position
from larder.offline.tables.integrity import data_files, local_folder
from larder.offline.tables.kinds import in_utc, is_bytes
from larder.offline.tables.parquet import ParquetFiles

_LARGEST_FILE = 256_000_000
"""Bytes, compressed. Up to it the row groups of a file fit into memory, also when all its rows are in one."""


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
        check_windows(table, told_position(table), history.windows)

    schema = pa.schema(table.schema().to_arrow())

    def scan(columns: Sequence[str], where: Sequence[Between] = ()) -> Iterator[pa.RecordBatch]:
        # Statistics of times without a zone say nothing about instants.
        predicate = "" if history.naive_is_utc else " AND ".join(bounds.sql() for bounds in where)
        dataset = _files(table, [schema.field(name).type for name in columns], predicate or None)
        if dataset is None:
            return scanned(table, columns, predicate or None)
        return _scanned_by_arrow(table, dataset, columns, () if history.naive_is_utc else where)

    return OpenTable(schema, scan, partial(check_columns, table), table.version())


def _files(table: DeltaTable, dtypes: Iterable[pa.DataType], predicate: str | None) -> ds.FileSystemDataset | None:
    """The files with rows for `predicate` where Arrow reads them best; None where that is for deltalake.

    Arrow decodes a row group as a whole and opens files of this machine: twice as fast, where row groups are small.
    """
    is_wide = any(pa.types.is_nested(dtype) or is_bytes(dtype) for dtype in dtypes)
    if is_wide or local_folder(table) is None or max(data_files(table).values(), default=0) > _LARGEST_FILE:
        return None
    try:
        return delta_dataset(table, predicate)
    except UnsupportedError:
        return None


def _scanned_by_arrow(
    table: DeltaTable, dataset: ds.FileSystemDataset, columns: Sequence[str], where: Sequence[Between]
) -> Iterator[pa.RecordBatch]:
    """Raises what `reading` raises."""
    with reading(table):
        for batch in file_batches(dataset, columns, where):
            yield from fulfilling(pa.Table.from_batches([batch]), where).to_batches()


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
