"""Reading the history of a view: a pinned version of its table, only the columns that are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.offline.history import History
from larder.offline.tables import open_table

INSTANT = pa.timestamp("us", tz="UTC")


def pinned(history: History) -> History:
    """`history` at the version that its table has now, so that later reads see the same rows."""
    return replace(history, version=open_table(history.table, history.version).version())


def as_utc(instant: datetime) -> datetime:
    """An end of a range; Feast passes it on without a time zone when its caller gave none, and means UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def read_history(history: History, *, columns: Sequence[str] | None = None, until: datetime | None = None) -> pa.Table:
    """Keys, times and features, named as the view names them; times are UTC microseconds.

    `columns` selects features (None: all of them); `until` leaves out rows with a later event timestamp.
    Raises MissingTableError, MissingColumnsError, or InvalidDataError when a time has no time zone.
    """
    table = open_table(history.table, history.version)
    features = history.features if columns is None else columns
    stored = {name: history.column(name) for name in (*history.keys, *history.times, *features)}
    schema = pa.schema(table.schema().to_arrow())
    _check_columns(history, stored, schema)
    _check_times(history, schema)
    found = pa.table(table.scan(columns=sorted(set(stored.values()))))
    rows = pa.table({name: _plain(found[column], name in history.times) for name, column in stored.items()})
    return (
        rows if until is None else rows.filter(pc.less_equal(rows[history.event_timestamp], pa.scalar(until, INSTANT)))
    )


def _plain(column: pa.ChunkedArray, is_time: bool) -> pa.ChunkedArray:
    """Times as UTC microseconds; text and bytes in the layout that every Arrow library reads."""
    if is_time:
        return column.cast(INSTANT)
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return column.cast(views.get(column.type, column.type))


def _check_columns(history: History, stored: Mapping[str, str], schema: pa.Schema) -> None:
    missing = sorted(set(stored.values()) - set(schema.names))
    if missing:
        raise MissingColumnsError(
            f"{history.table} lacks {missing}; it has {sorted(schema.names)}. Write them, or correct the feature "
            "view's schema, timestamp_field or field_mapping."
        )


def _check_times(history: History, schema: pa.Schema) -> None:
    for name in history.times:
        column = history.column(name)
        dtype = schema.field(column).type
        if not pa.types.is_timestamp(dtype) or dtype.tz is None:
            raise InvalidDataError(
                f"Column {column!r} of {history.table} is {dtype}, but an instant needs a timestamp with a time zone. "
                "Write it as Delta `timestamp` (UTC), not as `timestamp_ntz`, date or text."
            )
