"""Rows of a feature view into the table or files of its source: appended whole or not at all, types checked."""

from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.repo_config import RepoConfig

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError
from larder.offline.history import History, source_history
from larder.offline.tables.columns import columns_by_name
from larder.offline.tables.delta_table import table_schema
from larder.offline.tables.delta_writing import append_rows
from larder.offline.tables.kinds import INSTANT, in_utc, is_text
from larder.offline.tables.parquet import ParquetFiles
from larder.offline.tables.parquet_writing import append_parquet
from larder.offline.types import fitted
from larder.views import key_fields


def append_to_source(view: FeatureView, rows: pa.Table, config: RepoConfig) -> None:
    """Append `rows`, whose columns carry the view's names, to the view's batch source in one step.

    Raises MissingColumnsError or InvalidDataError, with the column named and nothing written, when the columns are
    not those of the source, a value is of another kind, or a key or an event timestamp is null.
    """
    history = _source_of(view, config)
    rows = rows.rename_columns([history.column(name) for name in rows.column_names])
    stored = _stored_schema(history)
    _check_names(rows.column_names, stored, history.table)
    if not rows.num_rows:  # whose columns pandas gives the types of no value
        return
    for name in (*history.keys, history.event_timestamp):
        _check_no_nulls(rows, history.column(name), history.table)
    columns = [_fitted(rows[column.name], column, history) for column in stored]
    _append(history, pa.table(columns, schema=stored))


def _source_of(view: FeatureView, config: RepoConfig) -> History:
    source = view.batch_source
    if source is None:
        raise ConfigurationError(f"Feature view {view.name!r} has no batch source to write to. Give it one.")
    keys = [field.name for field in key_fields(view)]
    history = source_history(source, config, keys=keys, features=(), columns=columns_by_name(source))
    if history.version is not None:
        raise ConfigurationError(
            f"Source {source.name!r} of feature view {view.name!r} is pinned to version {history.version}, so rows "
            "written now would never be read. Write through a source without a pinned version."
        )
    return history


def _stored_schema(history: History) -> pa.Schema:
    if history.format == "parquet":
        return ParquetFiles(history.table, history.storage_options, history.types).schema
    return table_schema(history.table, options=history.storage_options)


def _check_names(found: Sequence[str], stored: pa.Schema, table: str) -> None:
    missing, extra = sorted(set(stored.names) - set(found)), sorted(set(found) - set(stored.names))
    if missing or extra or len(set(found)) < len(found):
        raise MissingColumnsError(
            f"The rows to write lack {missing} and have {extra} too many for {table}, whose columns are "
            f"{sorted(stored.names)}; nothing was written. Give each of these columns once."
        )


def _check_no_nulls(rows: pa.Table, column: str, table: str) -> None:
    if column in rows.column_names and rows[column].null_count:
        raise InvalidDataError(
            f"{rows[column].null_count} of {rows.num_rows} rows for {table} have no {column!r}, so nobody could find "
            "them; nothing was written. Drop these rows or fill them in.",
            field=column,
        )


def _fitted(values: pa.ChunkedArray, column: pa.Field, history: History) -> pa.ChunkedArray:
    """As the source stores it; where a naive time means UTC, one with a zone may become naive and the reverse."""
    if not column.nullable:
        _check_no_nulls(pa.table({column.name: values}), column.name, history.table)
    if pa.types.is_timestamp(column.type) and is_text(values.type):
        values = _read_times(values)
    if not history.naive_is_utc:
        return fitted(values, column, where=history.table)
    in_zone = fitted(_in_zone(values), column.with_type(in_utc(column.type)), where=history.table)
    return in_zone.cast(column.type)


def _read_times(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times out of ISO 8601, which is how JSON brings them to Feast's feature server; other text stays as it is."""
    for dtype in (INSTANT, pa.timestamp("us")):  # Arrow takes texts that all have a zone, or all have none
        with suppress(pa.ArrowInvalid):
            return texts.cast(dtype)
    return texts


def _in_zone(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values if pa.types.is_null(values.type) else pc.cast(values, in_utc(values.type), safe=False)


def _append(history: History, rows: pa.Table) -> None:
    if history.format == "parquet":
        append_parquet(history.table, rows, history.storage_options)
    else:
        append_rows(history.table, rows, options=history.storage_options)
