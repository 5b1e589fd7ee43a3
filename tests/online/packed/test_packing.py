from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.online.packed.arrow_types import arrow_type
from larder.online.packed.keys import entity_encoder, view_prefix
from larder.online.packed.packing import packed_keys, typed_rows
from tests.online.rows import NOON, view

KEYS = {
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "unix_timestamp": st.datetimes(timezones=st.just(UTC)),
}


@given(st.lists(st.sampled_from(sorted(KEYS)), max_size=3), st.data())
def test_bulk_writer_and_reader_agree_on_every_key(dtypes: list[str], data: st.DataObject) -> None:
    plan = view(keys=" ".join(f"k{i}:{dtype}" for i, dtype in enumerate(dtypes)), features="x:float64")
    values = [data.draw(KEYS[dtype]) for dtype in dtypes]
    columns: dict[str, Any] = {
        key.name: pa.array([value], arrow_type(key.dtype)) for key, value in zip(plan.join_keys, values, strict=True)
    }
    rows = typed_rows(plan, pa.table(columns | {"x": [1.0], "event_timestamp": [NOON]}))
    prefix = view_prefix("shop", plan.name)

    assert packed_keys(prefix, plan, rows).to_pylist() == [
        prefix + entity_encoder(plan)(dict(zip(plan.request_keys, values, strict=True)))
    ]


def rows(**columns: Any) -> pa.Table:
    return pa.table({"user": ["a"], "score": [1.0], "event_timestamp": [NOON]} | columns)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("score", ["1"]),
        ("score", [True]),
        ("user", [1]),
        ("event_timestamp", ["2024-05-01T12:00:00Z"]),
        ("event_timestamp", [datetime(2024, 5, 1, 12)]),
        ("known_at", [datetime(2024, 5, 1, 12)]),
        ("event_timestamp", pa.array([None], pa.timestamp("us", tz="UTC"))),
    ],
)
def test_a_column_of_the_wrong_type_is_refused_by_name(column: str, values: Any) -> None:
    with pytest.raises(InvalidDataError, match=column) as refusal:
        typed_rows(view(), rows(**{column: values}))
    assert refusal.value.field == column


def test_a_number_that_would_lose_something_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="'score'"):
        typed_rows(view(features="score:int32"), rows(score=[2**31]))


def test_missing_columns_are_named() -> None:
    with pytest.raises(MissingColumnsError, match=r"lack \['score'\]"):
        typed_rows(view(), rows().drop_columns("score"))


def test_nanoseconds_are_cut_to_microseconds_and_other_zones_are_the_same_instant() -> None:
    new_york = pa.array([NOON], pa.timestamp("ns", tz="America/New_York"))

    assert typed_rows(view(), rows(event_timestamp=new_york))["event_timestamp"].to_pylist() == [NOON]


def test_known_at_defaults_to_the_event_timestamp() -> None:
    unknown = pa.array([None], pa.timestamp("us", tz="UTC"))

    assert typed_rows(view(), rows(known_at=unknown))["known_at"].to_pylist() == [NOON]
    assert typed_rows(view(), rows())["known_at"].to_pylist() == [NOON]


def test_dictionary_columns_count_as_their_values() -> None:
    typed = typed_rows(view(), rows(user=pa.array(["ann"]).dictionary_encode()))

    assert typed["user"].to_pylist() == ["ann"]
