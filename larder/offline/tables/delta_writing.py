"""Rows into Delta tables, each time in one commit."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from larder.offline.tables.delta_table import open_table

Options = Mapping[str, str]


def is_table(uri: str, options: Options) -> bool:
    return bool(DeltaTable.is_deltatable(uri, dict(options) or None))


def append_rows(uri: str, rows: pa.Table, *, options: Options | None = None, partition_by: Sequence[str] = ()) -> None:
    """Append, making the table if there is none; columns that it lacks are added to it.

    deltalake casts what it appends without a word, so check the types of `rows` first. Raises InvalidDataError for a
    table whose log is damaged.
    """
    try:
        write_deltalake(
            uri,
            rows,
            mode="append",
            schema_mode="merge",
            partition_by=list(partition_by) or None,
            storage_options=dict(options or {}) or None,
        )
    except DeltaError:
        if is_table(uri, options or {}):
            open_table(uri, options=options)  # says it better where it is the log
        raise


def replace_table(uri: str, rows: pa.RecordBatchReader, options: Options) -> None:
    """Make `rows` the whole table; they are written as they come, never all in memory."""
    write_deltalake(uri, rows, mode="overwrite", schema_mode="overwrite", storage_options=dict(options) or None)
