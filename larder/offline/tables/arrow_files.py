"""Parquet files read by Arrow: as fast as the machine allows, where nothing but the files says what the rows are."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaProtocolError

from larder.contracts.errors import UnsupportedError
from larder.offline.retrieval.conditions import Between
from larder.offline.tables.integrity import local_folder, place

_BATCH_ROWS = 1_000_000
_FILES_AHEAD = 2
"""Files that are read at once. A file's row groups are in memory whole, so more would be memory for little time."""
_TICK = timedelta(microseconds=1)
_URI = re.compile("[a-z][a-z0-9+.-]*:/")


def delta_dataset(table: DeltaTable, predicate: str | None = None) -> ds.FileSystemDataset:
    """The files of a Delta table that may hold rows for an SQL `predicate`.

    Raises UnsupportedError where files do not say it all: a table with deletion vectors or column mapping, one whose
    files lie elsewhere (a shallow clone) or with partitions whose values deltalake misspells (negative decimals) needs
    an engine to read it.
    """
    folder = local_folder(table)
    try:
        if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            # deltalake's dataset would look for columns by names that the files do not have, and find nulls.
            raise DeltaProtocolError("columns are mapped")
        dataset = table.to_pyarrow_dataset(
            filesystem=pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem()) if folder else None,
            file_pruning_predicate=predicate,
            # Older Sparks wrote times as INT96, which means nanoseconds to Arrow unless told otherwise.
            parquet_read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"),
        )
        if any(_URI.match(fragment.path) for fragment in dataset.get_fragments()):
            raise DeltaProtocolError("some are files of another table")
    except (DeltaProtocolError, pa.ArrowInvalid) as problem:
        raise UnsupportedError(f"The files of {place(table)} do not say what its rows are: {problem}.") from problem
    return dataset


def among(dataset: ds.FileSystemDataset, paths: Iterable[str]) -> ds.FileSystemDataset:
    """Some of the files of a dataset, with the schema of all."""
    own = set(paths)
    fragments = [fragment for fragment in dataset.get_fragments() if fragment.path in own]
    return ds.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)


def file_batches(
    dataset: ds.FileSystemDataset, columns: Sequence[str], where: Iterable[Between] = ()
) -> Iterator[pa.RecordBatch]:
    """Row groups that may hold rows that fulfil all conditions, whole or in part: the caller looks closer."""
    yield from dataset.scanner(
        columns=list(columns),
        filter=_pruning(where, dataset.schema),
        batch_size=_BATCH_ROWS,
        batch_readahead=_FILES_AHEAD,
        fragment_readahead=_FILES_AHEAD,
        # Spark writes a checksum into each page; files without any are read as they are.
        fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True),
    ).to_batches()


def _pruning(where: Iterable[Between], schema: pa.Schema) -> pc.Expression | None:
    """The conditions on times in the files' own unit, with a microsecond more for what gets cut off."""
    conditions = [condition for bounds in where for condition in _bounds(bounds, schema.field(bounds.column).type)]
    return reduce(and_, conditions) if conditions else None


def _bounds(bounds: Between, dtype: pa.DataType) -> Iterator[pc.Expression]:
    if (low := _instant(bounds.low, dtype, -_TICK)) is not None:
        yield pc.field(bounds.column) >= low
    if (high := _instant(bounds.high, dtype, _TICK)) is not None:
        yield pc.field(bounds.column) <= high


def _instant(bound: object, dtype: pa.DataType, margin: timedelta) -> pa.Scalar | None:
    """A bound in the files' unit; None where there is none or the unit cannot say it."""
    if not isinstance(bound, datetime) or not pa.types.is_timestamp(dtype):
        return None
    try:
        widened = bound.astimezone(UTC) + margin
        instant = pa.scalar(widened if dtype.tz else widened.replace(tzinfo=None), pa.timestamp("us", dtype.tz))
        return instant.cast(dtype, safe=dtype.unit == "ns")  # an end in the year 9999 has no nanoseconds
    except (OverflowError, pa.ArrowInvalid):
        return None
