"""The as-of join: for each request row, the feature values that serving held at that instant.

The rows of a key are put into the order in which they became visible, and those that a compare-and-set on
(event timestamp, known at) would have refused are left out. A binary search over the rest answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from larder.contracts.errors import InvalidDataError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.delta import INSTANT
from larder.offline.history import History
from larder.offline.keys import key_ids, own_key_ids

Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Matches:
    """Which row of a history answers each request."""

    rows: pa.Array
    """Position in the history; null where nothing answers."""
    has_ties: bool
    """Whether rows of one key with equal times had to be told apart by their features."""


def as_of_join(requests: pa.Table, history_rows: pa.Table, history: History, *, at: str) -> pa.Table:
    """The features in `history_rows` as serving held them at `at`: one row per request row, in its order.

    `requests` holds the join keys under the view's names and the instant `at` (with a time zone).
    A row without a match, with a null key, or whose value is older than the ttl is all null.
    """
    return matched(history_rows, as_of_matches(requests, history_rows, history, at=at), history)


def as_of_matches(requests: pa.Table, history_rows: pa.Table, history: History, *, at: str) -> Matches:
    """As `as_of_join`, but the positions of the rows instead of their features."""
    asked = _frame(requests, [*history.keys, at])
    past = _frame(history_rows, [*history.keys, history.event_timestamp])
    asked_keys, past_keys = key_ids(asked, past, history.keys, table=history.table)
    timeline, has_ties = _timeline(history_rows, past_keys, history)
    instants = _microseconds(asked[at])
    position = pl.Series(_last_visible(timeline, asked_keys, instants)).replace(-1, None)
    answers = timeline.select(pl.col("row", "event_timestamp").gather(position))
    if history.ttl:
        is_fresh = instants - answers["event_timestamp"] <= history.ttl // timedelta(microseconds=1)
        answers = answers.with_columns(pl.when(is_fresh).then("row").alias("row"))
    return Matches(answers["row"].to_arrow(), has_ties)


def matched(history_rows: pa.Table, matches: Matches, history: History) -> pa.Table:
    """The features in `history_rows`, one row per match; all null where nothing matches."""
    return _taken(history_rows, _features(history_rows, history), matches.rows)


def latest_at(history_rows: pa.Table, history: History, *, instant: datetime) -> pa.Table:
    """What serving holds at `instant`, before any ttl: one row per key.

    Columns are the keys, the features, `event_timestamp` and `known_at`, the last two in UTC microseconds.
    """
    past = _frame(history_rows, [*history.keys, history.event_timestamp])
    timeline, _ = _timeline(history_rows, own_key_ids(past, history.keys), history)
    visible = timeline.filter(pl.col("visible_at") <= _microseconds(pl.Series([instant])).item())
    latest = visible.filter((pl.col("key") != pl.col("key").shift(-1)).fill_null(True))
    known_at = latest["known_at"].fill_null(latest["event_timestamp"])
    return (
        _taken(history_rows, [*history.keys, *_features(history_rows, history)], latest["row"].to_arrow())
        .append_column(EVENT_TIMESTAMP, latest["event_timestamp"].to_arrow().cast(INSTANT))
        .append_column(KNOWN_AT, known_at.to_arrow().cast(INSTANT))
    )


def _timeline(history_rows: pa.Table, keys: pl.Series, history: History) -> tuple[pl.DataFrame, bool]:
    """The rows that can answer, per key in the order in which they do so; whether some had equal times.

    Columns: key, visible_at, event_timestamp, known_at (microseconds since the epoch), row (position in
    `history_rows`). The row that answers at t is its key's last one with visible_at <= t.
    """
    times = _frame(history_rows, history.times)
    event = _microseconds(times[history.event_timestamp])
    known = _microseconds(times[history.known_at]) if history.known_at else event
    visible = pl.max_horizontal("event_timestamp", "known_at") if history.cutoff else pl.col("event_timestamp")
    timeline = (
        pl.DataFrame({"key": keys, "event_timestamp": event, "known_at": known})
        .with_row_index("row")
        .drop_nulls(["key", "event_timestamp", *(["known_at"] if history.cutoff else [])])
        .with_columns(visible.alias("visible_at"))
        .sort("key", "visible_at", "event_timestamp", "known_at")
    )
    return _without_ties(_never_moving_back(timeline), history_rows, history)


def _never_moving_back(timeline: pl.DataFrame) -> pl.DataFrame:
    """Leave out rows that became visible after a row of a later event of their key."""
    event = pl.col("event_timestamp")
    moves_back = (pl.col("key") == pl.col("key").shift()) & (event < event.shift())
    if not timeline.select(moves_back.any()).item():
        return timeline
    return timeline.filter(event >= event.cum_max().over("key"))


def _without_ties(timeline: pl.DataFrame, history_rows: pa.Table, history: History) -> tuple[pl.DataFrame, bool]:
    """Of rows with equal key and times keep the one whose features are the greatest, in the view's order.

    Null is less than any value and NaN greater.
    """
    times = [pl.col(name) for name in ("key", "event_timestamp", "known_at")]
    is_tied = pl.all_horizontal(column.eq_missing(column.shift()) for column in times)
    if not timeline.select(is_tied.any()).item():
        return timeline, False
    groups = timeline.with_columns((~is_tied).cum_sum().alias("group"))
    tied = groups.filter(pl.len().over("group") > 1).select("row", "group")
    features = _features(history_rows, history)
    values = pl.DataFrame(pl.from_arrow(_taken(history_rows, features, tied["row"].to_arrow())))
    values.columns = [f"feature_{position}" for position in range(len(features))]
    contest = pl.concat([tied, values], how="horizontal").sort("group", *values.columns)
    losers = contest.filter(pl.col("group") == pl.col("group").shift(-1))["row"]
    return timeline.filter(~pl.col("row").is_in(losers.implode())), True


def _last_visible(timeline: pl.DataFrame, keys: pl.Series, instants: pl.Series) -> Integers:
    """Per request, the position in `timeline` of its key's last row with visible_at <= instant; -1 for none."""
    if not len(timeline):
        return np.full(len(keys), -1)
    times = timeline["visible_at"].to_numpy()
    is_asked = (keys.is_not_null() & instants.is_not_null()).to_numpy()
    key, at = keys.fill_null(0).to_numpy(), instants.fill_null(0).to_numpy()
    bounds = np.searchsorted(timeline["key"].to_numpy(), np.arange(key.max() + 2))
    first = bounds[key]
    low, high = first, np.where(is_asked, bounds[key + 1], first)
    while (is_open := low < high).any():
        middle = (low + high) // 2
        is_later = times[np.minimum(middle, len(times) - 1)] > at
        low, high = np.where(is_open & ~is_later, middle + 1, low), np.where(is_open & is_later, middle, high)
    return np.where(low > first, low - 1, -1)


def _features(history_rows: pa.Table, history: History) -> list[str]:
    return [name for name in history.features if name in history_rows.column_names]


def _taken(table: pa.Table, columns: Sequence[str], rows: pa.Array) -> pa.Table:
    return table.select(columns).combine_chunks().take(rows)


def _frame(table: pa.Table, columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table.select(columns)))


def _microseconds(instants: pl.Series) -> pl.Series:
    if not isinstance(instants.dtype, pl.Datetime) or instants.dtype.time_zone is None:
        raise InvalidDataError(
            f"Column {instants.name!r} is {instants.dtype}, but an instant needs a timestamp with a time zone. "
            "Say which zone it is in, for example with dt.tz_localize('UTC') in pandas."
        )
    return instants.dt.cast_time_unit("us").to_physical()
