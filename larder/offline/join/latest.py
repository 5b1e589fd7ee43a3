"""The latest row of each key: what serving holds at one instant, before any ttl."""

from datetime import datetime

import polars as pl
import pyarrow as pa

from larder.offline.history import History
from larder.offline.join.columns import frame, microseconds
from larder.offline.join.held import greatest
from larder.offline.tables.kinds import INSTANT


def latest_at(history_rows: pa.Table, history: History, *, instant: datetime) -> pa.Table:
    """What serving holds at `instant`, before any ttl: one row per key.

    Columns are the keys, the features and the times of the history. The times are in UTC microseconds, and where a row
    does not say when it became known, its event timestamp stands there; the others have their types of `history_rows`.
    """
    at = pa.scalar(instant, INSTANT).value
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
    rows = rows.with_columns(pl.col("known").fill_null(pl.col("event")))
    for time in (pl.col("event"), pl.col("known")):
        rows = rows.filter(time == time.max().over(keys))
    features = [name for name in history.features if name in history_rows.schema.names]
    is_tied = rows.select(pl.len().over(keys) > 1).to_series()
    if is_tied.any():
        tied = rows.filter(is_tied)
        groups = tied.select(pl.col("row").min().over(keys)).to_series().to_numpy()
        winners = greatest(groups, history_rows.select(features).take(tied["row"].to_arrow()))
        rows = pl.concat([rows.filter(~is_tied), tied[winners]])
    instants = dict(zip(history.times, (rows["event"], rows["known"]), strict=False))
    found = history_rows.select([*history.keys, *features])
    if is_tied.any() or len(rows) < found.num_rows:
        found = found.take(rows["row"].to_arrow())
    return pa.table(
        dict(zip(found.column_names, found.columns, strict=True))
        | {name: instant.to_arrow().cast(INSTANT) for name, instant in instants.items()}
    )
