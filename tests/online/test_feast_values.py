from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import Feature
from larder.online.feast_values import python_of, rows_table, values_of
from larder.online.packed.columns import decoded_columns
from larder.online.packed.packing import packed_records, typed_rows
from larder.online.packed.record import Layout
from tests.online.rows import NOON, view

VALUES: list[tuple[str, ValueType, Any]] = [
    ("float64", ValueType.DOUBLE, -0.5),
    ("float32", ValueType.FLOAT, 0.5),
    ("int64", ValueType.INT64, -(2**63)),
    ("int32", ValueType.INT32, 2**31 - 1),
    ("bool", ValueType.BOOL, True),
    ("string", ValueType.STRING, "Zoë"),
    ("bytes", ValueType.BYTES, b"\0\xff"),
    ("unix_timestamp", ValueType.UNIX_TIMESTAMP, NOON),
    ("zoned_timestamp", ValueType.ZONED_TIMESTAMP, NOON),
    ("json", ValueType.JSON, '{"a": [1]}'),
    ("uuid", ValueType.UUID, "12345678-1234-5678-1234-567812345678"),
    ("decimal", ValueType.DECIMAL, "1.50"),
    ("array<float32>", ValueType.FLOAT_LIST, [0.5, 1.5]),
    ("array<float64>", ValueType.DOUBLE_LIST, []),
    ("array<string>", ValueType.STRING_LIST, ["a", ""]),
    ("array<bytes>", ValueType.BYTES_LIST, [b"a"]),
    ("array<bool>", ValueType.BOOL_LIST, [True, False]),
    ("array<unix_timestamp>", ValueType.UNIX_TIMESTAMP_LIST, [NOON, datetime(1960, 1, 1, tzinfo=UTC)]),
    ("array<json>", ValueType.JSON_LIST, ["1", "{}"]),
    ("array<decimal>", ValueType.DECIMAL_LIST, ["1.50"]),
    ("set<int64>", ValueType.INT64_SET, [7]),
    ("set<uuid>", ValueType.UUID_SET, ["12345678-1234-5678-1234-567812345678"]),
    ("map", ValueType.MAP, {"a": 1, "b": "x", "d": {"e": [1.5]}}),
    ("array<map>", ValueType.MAP_LIST, [{"a": "b"}, {}]),
    ("scalar_map", ValueType.SCALAR_MAP, {1: "x", 2: None}),
    ("struct<size:int64,tags:array<string>>", ValueType.STRUCT, {"size": 1, "tags": ["a"]}),
    ("array<struct<a:bool>>", ValueType.STRUCT_LIST, [{"a": True}, {"a": None}]),
    ("array<array<float64>>", ValueType.VALUE_LIST, [[1.0], [2.0, 3.0]]),
    ("set<array<int64>>", ValueType.VALUE_SET, [[1], [2]]),
]
NAMES = [dtype for dtype, _, _ in VALUES]


@pytest.mark.parametrize(("dtype", "kind", "content"), VALUES, ids=NAMES)
def test_values_survive_the_way_through_feast(dtype: str, kind: ValueType, content: Any) -> None:
    assert python_of(value_of(content, dtype)) == content
    assert python_of(python_values_to_proto_values([content], kind)[0]) == content


@pytest.mark.parametrize(("dtype", "kind", "content"), VALUES, ids=NAMES)
def test_feast_reads_our_values_like_its_own(dtype: str, kind: ValueType, content: Any) -> None:
    ours, theirs = value_of(content, dtype), python_values_to_proto_values([content], kind)[0]

    assert feast_value_type_to_python_type(ours) == feast_value_type_to_python_type(theirs)


@pytest.mark.parametrize(("dtype", "kind", "content"), VALUES, ids=NAMES)
def test_rows_of_feast_become_records(dtype: str, kind: ValueType, content: Any) -> None:
    plan = view(features=f"value:{dtype}")
    key = EntityKey(join_keys=["user"], entity_values=[Value(string_val="ann")])
    values = [{"value": python_values_to_proto_values([content], kind)[0]}, {"value": Value()}, {}]

    rows = typed_rows(plan, rows_table(plan, [(key, value, NOON, None) for value in values]))

    stored = packed_records(Layout(plan), rows).to_pylist()
    assert [Layout(plan).decode(record).values for record in stored] == [(content,), (None,), (None,)]
    assert decoded_columns(Layout(plan), stored)["value"].null_count == 2


def test_a_null_time_of_pandas_is_a_null() -> None:
    key = EntityKey(join_keys=["user"], entity_values=[Value(string_val="ann")])
    rows = [(key, {}, NOON, pd.NaT), (key, {}, NOON, NOON)]

    assert rows_table(view(features=""), rows)["known_at"].to_pylist() == [None, NOON]


def test_a_key_that_only_other_rows_of_a_frame_have_is_not_stored() -> None:
    plan = view(features="value:map")
    key = EntityKey(join_keys=["user"], entity_values=[Value(string_val="ann")])
    frame = pa.Table.from_pandas(pd.DataFrame({"value": [{"a": "b"}, {}]}))  # as Feast's push takes it
    values = python_values_to_proto_values(frame["value"].to_pylist(), ValueType.MAP)

    rows = typed_rows(plan, rows_table(plan, [(key, {"value": value}, NOON, None) for value in values]))

    stored = packed_records(Layout(plan), rows).to_pylist()
    assert [Layout(plan).decode(record).values for record in stored] == [({"a": "b"},), ({},)]


def test_a_null_element_is_refused_by_name_where_feast_would_make_it_zero() -> None:
    with pytest.raises(InvalidDataError, match=r"^shops:ids has a null inside .*array<int64>.*FeatureReader"):
        values_of("shops", Feature("ids", "array<int64>"), [[1, 2], [1, None]])


def test_a_null_element_that_feast_can_say_is_said() -> None:
    assert python_of(value_of([NOON, None], "array<unix_timestamp>")) == [NOON, None]
    for dtype in ("array<float32>", "array<float64>", "set<float64>"):
        assert [str(item) for item in python_of(value_of([1.5, None], dtype))] == ["1.5", "nan"]
    assert str(python_of(value_of([[1.5, None], []], "array<array<float64>>"))) == "[[1.5, nan], []]"


def value_of(content: Any, dtype: str) -> Value:
    (value,) = values_of("view", Feature("value", dtype), [content])
    return value


def test_a_value_of_another_kind_is_refused_by_name() -> None:
    plan = view(features="value:array<int64>")
    key = EntityKey(join_keys=["user"], entity_values=[Value(string_val="ann")])

    with pytest.raises(InvalidDataError, match="'value' does not fit array<int64>"):
        rows_table(plan, [(key, {"value": Value(string_val="x")}, NOON, None)])


def test_types_of_columns_are_those_of_the_view() -> None:
    assert rows_table(view(), [])["score"].type == pa.float64()
    assert Feature("score", "float64") in view().features
