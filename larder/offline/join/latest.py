"""The latest row of each key: what serving holds at one instant, before any ttl."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import History
from larder.offline.join.columns import INSTANT, frame, microseconds
from larder.offline.join.held import NO_INSTANT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def latest_at(history_rows: pa.Table, history: History, *, instant: datetime) -> pa.Table:
    """What serving holds at `instant`, before any ttl: one row per key.

    Columns are the keys, the features, `event_timestamp` and `known_at`, the last two in UTC microseconds;
    `known_at` is the event timestamp where the row has none.
    """
    latest = latest_rows(history_rows, history, instant=instant)
    known = pc.coalesce(latest[KNOWN_AT], latest[EVENT_TIMESTAMP])
    return latest.set_column(latest.column_names.index(KNOWN_AT), KNOWN_AT, known)


def latest_rows(history_rows: pa.Table, history: History, *, instant: datetime) -> pa.Table:
    """As `latest_at`, with `known_at` null where the row has none: such rows can take part in a later choice.

    Columns have the types that they have in `history_rows`.
    """
    at = (instant - _EPOCH) // timedelta(microseconds=1)
    times = frame(history_rows, history.times)
    event = microseconds(times[history.event_timestamp])
    known = microseconds(times[history.known_at]) if history.known_at else event
    # Named by their place: a key may be called like anything.
    columns = [*frame(history_rows, history.keys)] or [pl.zeros(len(event), eager=True)]
    keys = [f"key_{place}" for place in range(len(columns))]
    rows = pl.DataFrame(dict(zip(keys, columns, strict=True)) | {"event": event, "known": known})
    rows = rows.with_row_index("row").drop_nulls([*keys, "event"]).filter(pl.col("event") <= at)
    if history.cutoff:
        rows = rows.filter(pl.col("known") <= at)
    for time in (pl.col("event"), pl.col("known").fill_null(NO_INSTANT)):
        rows = rows.filter(time == time.max().over(keys))
    asked = dict.fromkeys((*history.keys, *history.features))  # Feast may name a key among the features
    stored = history_rows.select([name for name in asked if name in history_rows.schema.names])
    is_tied = rows.select(pl.len().over(keys) > 1).to_series()
    if is_tied.any():
        rows = pl.concat([rows.filter(~is_tied), _greatest(rows.filter(is_tied), stored, keys)])
    instants = {EVENT_TIMESTAMP: rows["event"], KNOWN_AT: rows["known"]}
    found = stored.take(rows["row"].to_arrow())
    return pa.table(
        dict(zip(found.column_names, found.columns, strict=True))
        | {name: instant.to_arrow().cast(INSTANT) for name, instant in instants.items()}
    )


def _greatest(rows: pl.DataFrame, stored: pa.Table, keys: Sequence[str]) -> pl.DataFrame:
    """The row of each key whose content is the greatest, in the order that `Held` has."""
    content = frame(stored.take(rows["row"].to_arrow()), stored.column_names)
    content.columns = [f"feature_{place}" for place in range(content.width)]
    contest = rows.hstack(content).sort(content.columns, maintain_order=True)
    return contest.unique(keys, keep="last").select(rows.columns)
