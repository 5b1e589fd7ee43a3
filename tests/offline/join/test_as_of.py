"""The as-of join against plain loops, and the facts that a reader wants to see one by one."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.contracts.errors import InvalidDataError
from larder.offline.history import History
from larder.offline.join.as_of import BATCH_ROWS, Asked, as_of_join
from larder.offline.join.latest import latest_at
from tests.offline.oracle import value_as_of

START = datetime(2020, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    {
        "shop": pa.string(),
        "product": pa.int64(),
        "event_timestamp": INSTANT,
        "known_at": INSTANT,
        "price": pa.float64(),
        "label": pa.string(),
    }
)
REQUEST = pa.schema({"shop": pa.string(), "product": pa.int64(), "at": INSTANT})


def history(**changes: Any) -> History:
    defaults = {"cutoff": True, "ttl": None} | changes
    return History("sales", ("shop", "product"), ("price", "label"), "event_timestamp", "known_at", **defaults)


def at(clock: str) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return START + timedelta(hours=hours, minutes=minutes)


def sales(*rows: tuple[str, str, float]) -> pa.Table:
    """(event timestamp, known at, price) of product 1 in shop a."""
    return pa.Table.from_pylist(
        [
            {"shop": "a", "product": 1, "event_timestamp": at(e), "known_at": at(k), "price": p, "label": None}
            for e, k, p in rows
        ],
        SCHEMA,
    )


def asked(*clocks: str, shop: str | None = "a") -> pa.Table:
    return pa.Table.from_pylist([{"shop": shop, "product": 1, "at": at(clock)} for clock in clocks], REQUEST)


def prices(requests: pa.Table, rows: pa.Table, view: History) -> list[float | None]:
    return as_of_join(requests, rows, view, at="at")["price"].to_pylist()


def test_a_label_sees_a_correction_only_once_it_was_known():
    rows = sales(("10:00", "10:00", 5.0), ("10:00", "10:20", 9.0))

    assert prices(asked("10:10", "10:20"), rows, history()) == [5.0, 9.0]


def test_a_late_row_of_an_older_event_never_replaces_a_newer_one():
    rows = sales(("10:00", "10:00", 5.0), ("09:00", "10:20", 9.0))

    assert prices(asked("10:10", "10:30"), rows, history()) == [5.0, 5.0]


def test_a_row_without_a_created_timestamp_counts_as_created_at_its_event_timestamp():
    rows = sales(("10:00", "10:00", 9.0), ("10:00", "09:00", 5.0), ("11:00", "11:00", 9.0), ("11:00", "11:20", 5.0))
    known = pa.array([None, at("09:00"), None, at("11:20")], INSTANT)
    rows = rows.set_column(rows.column_names.index("known_at"), "known_at", known)

    assert prices(asked("10:30", "11:30"), rows, history(cutoff=False)) == [9.0, 5.0]
    assert latest_at(rows.slice(0, 2), history(cutoff=False), instant=at("10:30"))["price"].to_pylist() == [9.0]


def test_without_cutoff_the_event_timestamp_decides_and_the_created_timestamp_breaks_ties():
    rows = sales(("10:00", "10:20", 9.0), ("10:00", "10:00", 5.0))

    assert prices(asked("09:59", "10:00"), rows, history(cutoff=False)) == [None, 9.0]


def test_a_row_dated_in_the_future_is_not_seen_before_its_time():
    rows = sales(("10:00", "10:00", 5.0), ("12:00", "10:00", 9.0))

    assert prices(asked("11:59", "12:00"), rows, history()) == [5.0, 9.0]


def test_a_value_is_withheld_once_it_is_older_than_its_ttl():
    rows = sales(("10:00", "10:00", 5.0))

    assert prices(asked("11:00", "11:01"), rows, history(ttl=timedelta(hours=1))) == [5.0, None]


def test_composite_keys_are_compared_as_columns_not_as_joined_text():
    view = History("t", ("left", "right"), ("price",), "event_timestamp")
    rows = pa.table({"left": ["1"], "right": ["23"], "event_timestamp": pa.array([START], INSTANT), "price": [5.0]})
    requests = pa.table(
        {"left": ["12", "1"], "right": ["3", "23"], "at": pa.array([START, START], INSTANT)},
    )

    assert prices(requests, rows, view) == [None, 5.0]


def test_a_null_key_matches_nothing_not_even_a_null_key():
    rows = pa.Table.from_pylist([{**sales(("10:00", "10:00", 5.0)).to_pylist()[0], "shop": None}], SCHEMA)

    assert prices(asked("11:00", shop=None), rows, history()) == [None]


def test_nan_stays_nan_and_null_stays_null():
    rows = sales(("10:00", "10:00", float("nan")), ("11:00", "11:00", None))  # type: ignore[arg-type]

    first, second = prices(asked("10:30", "11:30"), rows, history())

    assert first != first
    assert second is None


def test_equal_times_give_the_same_row_whatever_the_order_of_the_rows():
    rows = sales(*(("10:00", "10:00", float(price)) for price in range(20)))
    shuffled = rows.take(random.Random(7).sample(range(20), 20))

    assert prices(asked("10:00"), rows, history()) == prices(asked("10:00"), shuffled, history()) == [19.0]


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([1, 2, None], pa.int32()),
        pa.array([1.0, 2.0, None]),
        pa.array([1.0, 2.0, float("nan")]),
        pa.array([1, 2, None], pa.uint8()),
    ],
)
def test_number_keys_match_whatever_their_width(keys: pa.Array):
    view = History("t", ("id",), ("price",), "event_timestamp")
    rows = pa.table({"id": pa.array([1, 2], pa.int64()), "event_timestamp": [START] * 2, "price": [5.0, 6.0]})
    rows = rows.set_column(1, "event_timestamp", rows["event_timestamp"].cast(INSTANT))
    requests = pa.table({"id": keys, "at": pa.array([START] * 3, INSTANT)})

    assert prices(requests, rows, view) == [5.0, 6.0, None]


@pytest.mark.parametrize("dtype", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()])
def test_text_keys_match_whatever_their_layout(dtype: pa.DataType):
    requests = asked("10:00")
    requests = requests.set_column(0, "shop", requests["shop"].cast(dtype))

    assert prices(requests, sales(("10:00", "10:00", 5.0)), history()) == [5.0]


@pytest.mark.parametrize("keys", [["1"], [1.5], [2.0**60]])
def test_a_key_of_another_kind_is_refused_with_its_name(keys: list[Any]):
    view = History("t", ("id",), ("price",), "event_timestamp")
    rows = pa.table({"id": [1], "event_timestamp": pa.array([START], INSTANT), "price": [5.0]})

    with pytest.raises(InvalidDataError, match=r"'id'.*Int64 in t"):
        as_of_join(pa.table({"id": keys, "at": pa.array([START], INSTANT)}), rows, view, at="at")


def test_a_naive_instant_is_refused_with_its_name():
    requests = asked("10:00")
    requests = requests.set_column(2, "at", requests["at"].cast(pa.timestamp("us")))

    with pytest.raises(InvalidDataError, match=r"'at'.*time zone"):
        as_of_join(requests, sales(), history(), at="at")


def test_a_history_of_more_rows_than_one_batch_answers_as_a_short_one_does():
    count, shops = BATCH_ROWS + 1000, 1000
    number = np.arange(count)
    since = pa.array(number * 1_000_000, INSTANT)
    columns = [
        (number % shops).astype(str),
        np.ones(count, dtype=np.int64),
        since,
        since,
        number * 1.0,
        pa.nulls(count),
    ]
    rows = pa.table(columns, SCHEMA.names).cast(SCHEMA)
    end = datetime.fromtimestamp(count, UTC)
    requests = pa.table([[str(shop) for shop in range(shops)], [1] * shops, [end] * shops], REQUEST.names).cast(REQUEST)

    assert prices(requests, rows, history()) == [max(range(shop, count, shops)) for shop in range(shops)]
    assert latest_at(rows, history(), instant=end).num_rows == shops


def test_a_view_without_keys_has_one_value_for_all():
    view = History("t", (), ("price",), "event_timestamp")
    rows = sales(("10:00", "10:00", 5.0), ("11:00", "11:00", 6.0))

    assert prices(asked("10:30", "11:30"), rows, view) == [5.0, 6.0]
    assert latest_at(rows, view, instant=at("12:00"))["price"].to_pylist() == [6.0]
    twice = sales(("11:00", "11:00", 7.0), ("10:00", "10:00", 5.0), ("11:00", "11:00", 6.0))
    assert latest_at(twice, view, instant=at("12:00"))["price"].to_pylist() == [7.0]


instants = st.one_of(
    st.integers(0, 8).map(lambda hour: START + timedelta(hours=hour)),
    st.sampled_from(
        [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), START + timedelta(microseconds=1)]
    ),
)
keys = {"shop": st.sampled_from(["1", "12", "é", None]), "product": st.sampled_from([1, 23, 3, None])}
rows_of_history = st.lists(
    st.fixed_dictionaries(
        {
            **keys,
            "event_timestamp": instants,
            "known_at": st.one_of(instants, st.none()),
            "price": st.sampled_from([None, 1.0, 2.0, float("nan")]),
            "label": st.sampled_from([None, "", "x"]),
        }
    ),
    max_size=30,
)
rows_of_request = st.lists(st.fixed_dictionaries({**keys, "at": instants}), max_size=12)
ttls = st.sampled_from([None, timedelta(0), timedelta(microseconds=1), timedelta(hours=2), timedelta(days=9000)])


@settings(deadline=None, max_examples=200)
@given(rows_of_history, rows_of_request, ttls, st.booleans())
def test_the_join_is_what_plain_loops_say(
    rows: list[dict[str, Any]], requests: list[dict[str, Any]], ttl: timedelta | None, cutoff: bool
):
    view = history(cutoff=cutoff, ttl=ttl)

    joined = as_of_join(
        pa.Table.from_pylist(requests, REQUEST), pa.Table.from_pylist(rows, SCHEMA), view, at="at"
    ).to_pylist()
    asked = Asked(pa.Table.from_pylist(requests, REQUEST), SCHEMA, view, at="at")
    held = asked.nothing_held()
    for row in reversed(rows):
        held.take(asked.located(pa.Table.from_pylist([row], SCHEMA)))

    nothing = {"price": None, "label": None}
    expected = [
        value_as_of(
            rows,
            {"shop": request["shop"], "product": request["product"]},
            request["at"],
            cutoff=cutoff,
            ttl=ttl,
            features=view.features,
        )
        or nothing
        for request in requests
    ]
    assert repr(joined) == repr([{"price": row["price"], "label": row["label"]} for row in expected])
    assert repr(asked.features(held).to_pylist()) == repr(joined)


@settings(deadline=None, max_examples=100)
@given(rows_of_history, instants, st.booleans())
def test_the_latest_rows_are_what_plain_loops_say(rows: list[dict[str, Any]], instant: datetime, cutoff: bool):
    view = history(cutoff=cutoff)

    latest = latest_at(pa.Table.from_pylist(rows, SCHEMA), view, instant=instant).to_pylist()

    every_key = {(row["shop"], row["product"]) for row in rows}
    held = [
        value_as_of(rows, {"shop": shop, "product": product}, instant, cutoff=cutoff, features=view.features)
        for shop, product in every_key
    ]
    expected = [dict(row) | {"known_at": row["known_at"] or row["event_timestamp"]} for row in held if row]
    columns = ["shop", "product", "price", "label", "event_timestamp", "known_at"]
    assert sorted(_text(row, columns) for row in latest) == sorted(_text(row, columns) for row in expected)


def _text(row: dict[str, Any], columns: list[str]) -> str:
    return repr([row[name].timestamp() if isinstance(row[name], datetime) else row[name] for name in columns])
