import hashlib
import math
import re
import struct
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.contracts.clock import EPOCH
from larder.contracts.errors import ConfigurationError, LarderError, OnlineStoreError, SchemaMismatchError
from larder.contracts.plan import Feature, ViewPlan
from larder.online.packed.packing import packed_records, typed_rows
from larder.online.packed.record import Layout
from tests.online.packed.values import DTYPES, column, values_of
from tests.online.rows import NOON, at, view


@st.composite
def stored_rows(draw: st.DrawFn) -> tuple[ViewPlan, list[object]]:
    """A view with up to twenty features of any type, and one value for each, null now and then."""
    dtypes = draw(st.lists(DTYPES, max_size=20))
    values = [draw(st.none() | values_of(dtype)) for dtype in dtypes]
    return view(features=" ".join(f"f{index}:{dtype}" for index, dtype in enumerate(dtypes))), values


def record(plan: ViewPlan, values: list[object], *, known_at: datetime | None = None) -> bytes:
    columns = {f.name: column([value], f.dtype) for f, value in zip(plan.features, values, strict=True)}
    columns |= {"user": pa.array(["ann"]), "event_timestamp": [NOON], "known_at": [known_at or NOON]}
    return packed_records(Layout(plan), typed_rows(plan, pa.table(columns)))[0].as_py()


@settings(deadline=None)
@given(stored_rows())
def test_a_record_gives_back_what_went_in(row: tuple[ViewPlan, list[object]]) -> None:
    plan, values = row

    found = Layout(plan).decode(record(plan, values, known_at=at(5)))

    assert EPOCH + timedelta(microseconds=found.event_timestamp) == NOON
    assert EPOCH + timedelta(microseconds=found.known_at) == at(5)
    assert repr(found.values) == repr(tuple(values))  # tells -0.0 from 0.0, 1 from True, and finds NaN equal to NaN


@settings(deadline=None, max_examples=30)
@given(stored_rows())
def test_no_truncation_and_no_extension_of_a_record_is_read(row: tuple[ViewPlan, list[object]]) -> None:
    plan, values = row
    whole = record(plan, values)

    for damaged in (*(whole[:length] for length in range(len(whole))), whole + b"\0"):
        with pytest.raises(OnlineStoreError):
            Layout(plan).decode(damaged)


@settings(deadline=None, max_examples=50)
@given(stored_rows(), st.binary(max_size=120))
def test_foreign_bytes_are_refused(row: tuple[ViewPlan, list[object]], foreign: bytes) -> None:
    with pytest.raises(LarderError):
        Layout(row[0]).decode(foreign)


def test_the_bytes_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "record_format.md").read_text()
    example = re.findall(r"^    ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)", page, re.MULTILINE)
    plan = view(features="price:float64 name:string count:int32 tags:array<float32> size:struct<cm:int64>")

    assert record(plan, [2.5, "ab", None, [0.5, 1.5], {"cm": 3}], known_at=at(1)) == bytes.fromhex("".join(example))


def test_the_fingerprint_is_that_of_the_documentation() -> None:
    plan = view(features="price:float64 tags:array<int64>")

    shape = b'["visits",[[["user","string"]],[["price","float64"],["tags","array<int64>"]]]]'
    assert plan.fingerprint == hashlib.sha256(shape).digest()[:8]


def test_nan_is_a_value_and_null_is_none() -> None:
    plan = view(features="a:float64 b:float64")

    values = Layout(plan).decode(record(plan, [math.nan, None])).values

    assert math.isnan(values[0])
    assert values[1] is None


@pytest.mark.parametrize("changed", ["score:float32", "points:float64", "score:float64 age:int64"])
def test_a_record_of_another_schema_is_refused_and_not_misread(changed: str) -> None:
    stored = record(view(features="score:float64"), [1.0])

    with pytest.raises(SchemaMismatchError, match=r"'visits'.*larder features"):
        Layout(view(features=changed)).decode(stored)


def test_a_record_of_format_1_is_refused_until_it_is_materialized_again() -> None:
    plan = view(features="score:float64")
    first = b"LDR\x01" + plan.fingerprint + struct.pack("<qqBd", 0, 0, 0, 1.5)

    with pytest.raises(OnlineStoreError, match=r"37 bytes for view 'visits' that are no record of format 2\. Mater"):
        Layout(plan).decode(first)


def test_the_order_of_features_is_part_of_the_schema() -> None:
    stored = record(view(features="a:float64 b:float64"), [1.0, 2.0])

    with pytest.raises(SchemaMismatchError):
        Layout(view(features="b:float64 a:float64")).decode(stored)


def test_a_type_that_a_record_cannot_hold_is_refused_with_the_field() -> None:
    plan = ViewPlan("visits", (), (), (Feature("tags", "Array(String)"),), None)

    with pytest.raises(ConfigurationError, match=r"'tags' of view 'visits' has type Array\(String\)"):
        Layout(plan)


def test_many_rows_are_packed_like_one_at_a_time() -> None:
    plan = view(features="score:float64 name:string")
    rows = pa.table(
        {
            "user": [str(i) for i in range(100)],
            "score": pa.array([None if i % 7 == 0 else float(i) for i in range(100)]),
            "name": pa.array([None if i % 5 == 0 else "x" * i for i in range(100)]),
            "event_timestamp": [at(i) for i in range(100)],
        }
    )
    typed = typed_rows(plan, rows)

    together = packed_records(Layout(plan), typed).to_pylist()

    assert together == [packed_records(Layout(plan), typed.slice(i, 1).combine_chunks())[0].as_py() for i in range(100)]
    assert [Layout(plan).decode(r).values[0] for r in together] == rows["score"].to_pylist()


def test_a_table_in_several_chunks_is_packed_in_order() -> None:
    plan = view()
    parts = [pa.table({"user": ["a"], "score": [float(i)], "event_timestamp": [at(i)]}) for i in range(3)]

    records = packed_records(Layout(plan), typed_rows(plan, pa.concat_tables(parts))).to_pylist()

    assert [Layout(plan).decode(r).values for r in records] == [(0.0,), (1.0,), (2.0,)]
    assert np.frombuffer(records[0][28:29], np.uint8)[0] == 0
