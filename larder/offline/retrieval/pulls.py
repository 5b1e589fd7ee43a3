"""Rows of a source as Feast's materialization, saved datasets and logs ask for them: under the names of its columns."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from feast import FileSource
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.repo_config import RepoConfig

from larder.contracts.errors import MissingColumnsError, MissingTableError
from larder.offline.history import History, source_history
from larder.offline.join.latest import latest_at
from larder.offline.retrieval.conditions import time_range
from larder.offline.retrieval.pins import pinned_for_retrieval
from larder.offline.retrieval.reading import StoredRows, as_utc, read_history
from larder.offline.tables.columns import columns_by_name
from larder.offline.tables.kinds import INSTANT, feast_name
from larder.offline.tables.opening import open_history


def pulled_history(
    config: RepoConfig,
    source: DataSource,
    keys: Sequence[str],
    features: Sequence[str],
    timestamp_field: str,
    created_timestamp_column: str | None,
) -> History:
    """The source's history at the version that a retrieval reads; without `features`, which is how Feast asks for a
    view with a transformation, all its columns are features.

    Features are in the order of the view's names, which decides between rows of equal times everywhere else, too.
    """
    features = sorted(features, key=lambda column: source.field_mapping.get(column, column))
    history = source_history(source, config, keys=keys, features=features, columns={})
    history = replace(history, event_timestamp=timestamp_field, known_at=created_timestamp_column or None)
    history = pinned_for_retrieval(history, config)
    if features:
        return history
    others = set(open_history(history).schema.names) - {*history.keys, *history.times}
    return replace(history, features=tuple(sorted(others)))


def latest_rows(history: History, start: datetime, end: datetime) -> pa.Table:
    """One row per key: what serving holds at `end`, unless its event timestamp is before `start`."""
    latest = latest_at(read_history(history), history, instant=as_utc(end))
    is_wanted = pc.greater_equal(latest[history.event_timestamp], pa.scalar(as_utc(start), INSTANT))
    return _with_key(latest.filter(is_wanted), history)


def all_rows(history: History, start: datetime | None, end: datetime | None, rows_per_batch: int) -> Iterator[pa.Table]:
    """Every row with an event timestamp from `start` to `end`, both included, in no particular order."""
    rows = StoredRows(history, history.features)
    bounds = time_range(history, since=as_utc(start) if start else None, until=as_utc(end or datetime.max))
    is_empty = True
    for batch in rows.batches([bounds] if start or end else []):
        yield from in_batches(_with_key(batch, history), rows_per_batch)
        is_empty = False
    if is_empty:
        yield _with_key(rows.schema.empty_table(), history)


def in_batches(rows: pa.Table, rows_per_batch: int) -> Iterator[pa.Table]:
    for start in range(0, max(rows.num_rows, 1), rows_per_batch):
        yield rows.slice(start, rows_per_batch)


def file_columns(source: FileSource, config: RepoConfig) -> list[tuple[str, str]]:
    """Names and types of a source's columns, as Feast spells types. Raises MissingTableError."""
    history = source_history(source, config, keys=(), features=(), columns={})
    return [(column.name, feast_name(column.type)) for column in open_history(history).schema]


def check_file_source(source: FileSource, config: RepoConfig) -> None:
    """Check the time columns of files that exist; definitions may be applied before their first data."""
    try:
        found = {name for name, _ in file_columns(source, config)}
    except MissingTableError:
        return
    columns = columns_by_name(source)
    times = [name for name in (source.timestamp_field, source.created_timestamp_column) if name]
    missing = sorted({columns.get(name, name) for name in times} - found)
    if missing:
        raise MissingColumnsError(
            f"FileSource {source.name!r} names {missing}, but {source.path} has {sorted(found)}. Correct "
            "timestamp_field, created_timestamp_column or field_mapping."
        )


def _with_key(rows: pa.Table, history: History) -> pa.Table:
    """Feast files the values of a view without entities under a key of its own."""
    if history.keys:
        return rows
    return rows.append_column(DUMMY_ENTITY_ID, pa.array([DUMMY_ENTITY_VAL] * rows.num_rows, pa.string()))
