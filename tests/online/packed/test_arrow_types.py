import re
from datetime import UTC, date, datetime
from decimal import Decimal as Number
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from feast import FeatureView, Field, types
from feast.types import Array, FeastType, Set, Struct

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.plan import Feature
from larder.offline.types import arrow_type as offline_type
from larder.online.packed.arrow_types import arrow_type
from larder.online.packed.packing import INSTANT, packed_records, typed_rows
from larder.online.packed.record import MAX_BYTES, Layout
from larder.online.packed.types import is_storable
from larder.online.planning import view_plan
from tests.online.feast_shop import source, user
from tests.online.rows import NOON, view

PRIMITIVES = [each for each in types.PrimitiveFeastType if each is not types.Invalid]
LISTS: list[FeastType] = [Array(each) for each in PRIMITIVES if each not in (types.ScalarMap, types.ZonedTimestamp)]
SETS: list[FeastType] = [
    Set(each) for each in PRIMITIVES if each not in (types.Map, types.ScalarMap, types.ZonedTimestamp)
]
NESTED: list[FeastType] = [
    Array(Array(types.Float32)),
    Array(Set(types.String)),
    Set(Array(types.Int64)),
    Struct({"size": types.Int64, "tags": Array(types.String), "more": Struct({"at": types.UnixTimestamp})}),
    Array(Struct({"a,b": types.Bool, "c<d>:e": types.Map})),
]


def planned(dtype: FeastType) -> Feature:
    fields = [Field(name="user_id", dtype=types.String), Field(name="value", dtype=dtype)]
    return view_plan(FeatureView(name="v", entities=[user], schema=fields, source=source("v_rows"))).features[0]


@pytest.mark.parametrize("dtype", [*PRIMITIVES, *LISTS, *SETS, *NESTED], ids=str)
def test_every_feast_type_is_stored_in_the_arrow_type_of_the_offline_join(dtype: FeastType) -> None:
    name = planned(dtype).dtype

    assert is_storable(name)
    assert arrow_type(name) == (None if dtype in (types.Map, types.ScalarMap) else offline_type(dtype))


def test_names_of_types_are_readable_and_their_own() -> None:
    assert planned(Array(types.Int64)).dtype == "array<int64>"
    assert planned(Set(Array(types.String))).dtype == "set<array<string>>"
    assert planned(Struct({"a,b": types.Bool, "m": types.Map})).dtype == "struct<a%2Cb:bool,m:map>"


@pytest.mark.parametrize(
    "dtype",
    [
        "Array(String)",
        "invalid",
        "array<>",
        "array<int64",
        "array<int64,int64>",
        "array<int64>>",
        "array<scalar_map>",
        "list<int64>",
        "struct<>",
        "struct<a>",
        "struct<a:int64,>",
        "int64<>",
        "<",
    ],
)
def test_what_is_no_type_is_refused(dtype: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'tags' of view 'visits' has type {re.escape(dtype)}, which"):
        Layout(view(features=f"tags:{dtype}"))


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("decimal", pa.array([Number("1.50")]), "1.50"),
        ("unix_timestamp", pa.array([date(2024, 5, 1)]), datetime(2024, 5, 1, tzinfo=UTC)),
        ("float64", pa.array([3], pa.uint8()), 3.0),
        ("array<float32>", pa.array([[0.5, 0.25]], pa.list_(pa.float64(), 2)), [0.5, 0.25]),
        ("float32", pa.array([float("-inf")]), float("-inf")),
        ("array<float32>", pa.array([[1e-50, float("inf"), None]]), [0.0, float("inf"), None]),
        ("array<string>", pa.array([["a"]], pa.large_list(pa.large_string())), ["a"]),
        ("array<unix_timestamp>", pa.array([[NOON]], pa.list_(pa.timestamp("ns", "America/New_York"))), [NOON]),
        ("map", pa.array([{"a": 1, "b": None}]), {"a": 1, "b": None}),
        ("map", pa.array([[("a", [NOON])]], pa.map_(pa.string(), pa.list_(INSTANT))), {"a": [NOON]}),
        ("struct<b:int64,a:string>", pa.array([{"a": "x", "b": 1}]), {"b": 1, "a": "x"}),
        ("json", pa.array(['{"a": 1}']).dictionary_encode(), '{"a": 1}'),
        ("bytes", pa.nulls(1), None),
        ("array<int64>", pa.nulls(1), None),
        ("map", pa.nulls(1), None),
    ],
)
def test_columns_of_the_same_kind_are_taken_as_offline(dtype: str, values: pa.Array, expected: Any) -> None:
    plan = view(features=f"value:{dtype}")
    rows = pa.table({"user": ["a"], "value": values, "event_timestamp": [NOON]})

    (record,) = packed_records(Layout(plan), typed_rows(plan, rows)).to_pylist()
    assert Layout(plan).decode(record).values == (expected,)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("array<int64>", pa.array([["1"]])),
        ("array<int32>", pa.array([[2**31]])),
        ("array<int64>", pa.array([1])),
        ("array<unix_timestamp>", pa.array([[datetime(2024, 5, 1)]])),
        ("float32", pa.array([1.0, -1e39])),
        ("array<float32>", pa.array([[1e39]])),
        ("struct<a:array<float32>>", pa.array([{"a": [1e39]}])),
        ("unix_timestamp", pa.array([datetime(2024, 5, 1)])),
        ("unix_timestamp", pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))),
        ("unix_timestamp", pa.array([2**62], pa.int64()).cast(pa.timestamp("s", "UTC"))),
        ("array<unix_timestamp>", pa.array([[-(2**62)]]).cast(pa.list_(pa.timestamp("us", "UTC")))),
        ("array<array<unix_timestamp>>", pa.array([[[2**62]]]).cast(pa.list_(pa.list_(pa.timestamp("us", "UTC"))))),
        ("struct<a:int64>", pa.array([{"b": 1}])),
        ("map", pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64()))),
        ("map", pa.array([[("a", date(2024, 5, 1))]], pa.map_(pa.string(), pa.date32()))),
        ("map", pa.array([[("a", datetime(2024, 5, 1))]], pa.map_(pa.string(), pa.timestamp("us")))),
        ("map", pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))),
        ("map", pa.array([b"no MessagePack"])),
        ("map", pa.array([msgspec.msgpack.encode([1])])),
        ("string", pa.array([b"a"])),
        ("bytes", pa.array(["a"])),
        ("json", pa.array([1])),
    ],
)
def test_what_would_be_changed_is_refused_by_name(dtype: str, values: pa.Array) -> None:
    rows = pa.table({"user": ["a"] * len(values), "score": values, "event_timestamp": [NOON] * len(values)})

    with pytest.raises(InvalidDataError, match="'score'") as refusal:
        typed_rows(view(features=f"score:{dtype}"), rows)
    assert refusal.value.field == "score"


def test_a_day_is_no_event_timestamp() -> None:
    rows = pa.table({"user": ["a"], "score": [1.0], "event_timestamp": [date(2024, 5, 1)]})

    with pytest.raises(InvalidDataError, match="event_timestamp"):
        typed_rows(view(), rows)


def test_lists_keep_their_nulls_wherever_the_table_was_cut() -> None:
    plan = view(features="tags:array<float32> flags:set<bool>")
    tags = [[1.5, None], [], None, [None], [float("inf"), -0.0]] * 3
    flags = [[True, None], [False], None, [], [True, False]] * 3
    rows = pa.table(
        {
            "user": ["a"] * 15,
            "tags": pa.array(tags, pa.list_(pa.float32())),
            "flags": pa.array(flags, pa.list_(pa.bool_())),
            "event_timestamp": [NOON] * 15,
        }
    )

    for cut in (rows, rows.slice(3, 9), pa.concat_tables([rows.slice(4), rows.slice(0, 4)])):
        records = packed_records(Layout(plan), typed_rows(plan, cut)).to_pylist()
        found = [Layout(plan).decode(record).values for record in records]
        assert repr(found) == repr(list(zip(cut["tags"].to_pylist(), cut["flags"].to_pylist(), strict=True)))


def test_an_oversized_value_is_refused_with_its_row_and_column() -> None:
    plan = view(features="photo:image_bytes name:string")
    rows = pa.table(
        {
            "user": ["a", "b"],
            "photo": pa.array([b"x", bytes(MAX_BYTES)], pa.large_binary()),
            "name": ["ann", "bob"],
            "event_timestamp": [NOON] * 2,
        }
    )

    with pytest.raises(InvalidDataError, match=r"Row 1 for view 'visits' .* in 'photo'; a record may have 67,108,864"):
        typed_rows(plan, rows)
    assert typed_rows(plan, rows.slice(0, 1)).num_rows == 1


def test_serving_decodes_every_type_without_arrow(tmp_path: Path) -> None:
    import subprocess
    import sys

    plan = view(features="a:array<float32> b:struct<x:set<string>> c:map d:decimal e:array<unix_timestamp>")
    row = {"a": [[1.5]], "b": [{"x": ["y"]}], "c": [{"k": 2}], "d": ["1.0"], "e": [[NOON]]}
    rows = pa.table({"user": ["a"], "event_timestamp": [NOON]} | row)
    (tmp_path / "record").write_bytes(packed_records(Layout(plan), typed_rows(plan, rows))[0].as_py())
    (tmp_path / "plan").write_bytes(msgspec.json.encode(plan))
    program = (
        "import sys, msgspec\n"
        "from larder.contracts.plan import ViewPlan\n"
        "from larder.online.packed.record import Layout\n"
        "plan = msgspec.json.decode(open('plan', 'rb').read(), type=ViewPlan)\n"
        "print(Layout(plan).decode(open('record', 'rb').read()).values[:4], 'pyarrow' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "([1.5], {'x': ['y']}, {'k': 2}, '1.0') False"
