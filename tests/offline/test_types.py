"""Every type that Feast has, from a Delta table to a result and back into the table."""

import decimal
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from feast import Entity, FeatureView, Field
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeastType,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.offline import DeltaSource
from larder.offline.types import declared
from tests.offline.project import feature_store, write_table
from tests.offline.shop import INSTANT, at, instants

ID = "0b7e1f0a-1111-4222-8333-444455556666"
PAIRS = pa.map_(pa.string(), pa.string())
AGED = pa.struct([("name", pa.string()), ("age", pa.int64())])
TYPES: list[tuple[FeastType, pa.DataType, Any]] = [
    (Bool, pa.bool_(), True),
    (Int32, pa.int32(), -(2**31)),
    (Int64, pa.int64(), 2**63 - 1),
    (Float32, pa.float32(), 0.5),
    (Float64, pa.float64(), float("inf")),
    (String, pa.string(), "Zürich"),
    (Json, pa.string(), '{"a": [1, null]}'),
    (Uuid, pa.string(), ID),
    (TimeUuid, pa.string(), ID),
    (Decimal, pa.string(), "12.50"),
    (Bytes, pa.binary(), b"\x00\xff"),
    (PdfBytes, pa.binary(), b"%PDF"),
    (ImageBytes, pa.binary(), b"\x89PNG"),
    (UnixTimestamp, INSTANT, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
    (ZonedTimestamp, INSTANT, at("10:00")),
    (Map, PAIRS, [("a", "1"), ("b", None)]),
    (ScalarMap, pa.map_(pa.int64(), pa.float64()), [(1, 0.5)]),
    (Struct({"name": String, "age": Int64}), AGED, {"name": "Ann", "age": None}),
    (Array(Bool), pa.list_(pa.bool_()), [True, None]),
    (Array(Int32), pa.list_(pa.int32()), []),
    (Array(Float32), pa.list_(pa.float32()), [0.5, 1.5]),
    (Array(String), pa.list_(pa.string()), ["", "b"]),
    (Array(Bytes), pa.list_(pa.binary()), [b""]),
    (Array(UnixTimestamp), pa.list_(INSTANT), [at("10:00")]),
    (Array(Map), pa.list_(PAIRS), [[("a", "1")]]),
    (Array(Struct({"name": String, "age": Int64})), pa.list_(AGED), [{"name": "Ann", "age": 7}]),
    (Array(Array(Int64)), pa.list_(pa.list_(pa.int64())), [[1], [], [2, 3]]),
    (Set(Int64), pa.list_(pa.int64()), [1, 2]),
    (Set(String), pa.list_(pa.string()), ["a"]),
]


@pytest.mark.parametrize(("dtype", "stored", "value"), TYPES, ids=[str(dtype) for dtype, _, _ in TYPES])
def test_a_value_and_a_null_come_back_as_they_were_written(
    tmp_path: Path, dtype: FeastType, stored: pa.DataType, value: Any
):
    """Through the registry, the write path, the as-of join (with a tie, which looks at values), and the pull."""
    rows = {"shop_id": ["a", "b"], "sold_at": instants("10:00", "10:00"), "value": pa.array([value, None], stored)}
    write_table(tmp_path, "sales", pa.table(rows))
    store = feature_store(tmp_path)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = DeltaSource(path="sales", timestamp_field="sold_at")
    schema = [Field(name="shop_id", dtype=String), Field(name="value", dtype=dtype)]
    store.apply([shop, FeatureView(name="sales", entities=[shop], source=source, schema=schema)])

    view = store.get_feature_view("sales")
    store._get_provider().offline_write_batch(store.config, view, pa.table(rows), None)
    request = pd.DataFrame({"shop_id": ["a", "b", "c"], "event_timestamp": [at("10:30")] * 3})
    found = store.get_historical_features(request, features=["sales:value"]).to_arrow()["value"]
    pulled = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, view.batch_source, ["shop_id"], ["value"], "sold_at", None, at("00:00"), at("12:00")
    )

    assert found.to_pylist() == [value, None, None]
    assert pa.types.is_large_string(found.type) if dtype == Json else found.type == stored
    assert pulled.to_arrow().sort_by("shop_id")["value"].to_pylist() == [value, None]
    assert DeltaTable(str(tmp_path / "lake" / "sales")).version() == 1


@pytest.mark.parametrize(
    ("stored", "inferred"),
    [
        (pa.int16(), Int32),
        (pa.int64(), Int64),
        (pa.float32(), Float32),
        (pa.bool_(), Bool),
        (pa.string(), String),
        (pa.binary(), Bytes),
        (pa.decimal128(10, 2), Decimal),
        (pa.date32(), UnixTimestamp),
        (INSTANT, UnixTimestamp),
        (PAIRS, Map),
        (pa.list_(pa.float64()), Array(Float64)),
        (pa.list_(INSTANT), Array(UnixTimestamp)),
        (pa.list_(pa.decimal128(10, 2)), Array(Decimal)),
    ],
    ids=str,
)
def test_a_view_without_a_schema_gets_its_types_from_the_table(
    tmp_path: Path, stored: pa.DataType, inferred: FeastType
):
    rows = pa.table({"shop_id": ["a"], "sold_at": instants("10:00"), "value": pa.array([None], stored)})
    write_table(tmp_path, "sales", rows)
    store = feature_store(tmp_path)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = DeltaSource(path="sales", timestamp_field="sold_at")

    store.apply([shop, FeatureView(name="sales", entities=[shop], source=source)])

    assert [(field.name, field.dtype) for field in store.get_feature_view("sales").features] == [("value", inferred)]


def test_a_type_that_feast_has_not_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="time64"):
        DeltaSource.source_datatype_to_feast_value_type()("time64[us]")


@pytest.mark.parametrize(
    ("dtype", "stored", "value", "seen"),
    [
        (Decimal, pa.decimal128(10, 2), decimal.Decimal("12.50"), "12.50"),
        (UnixTimestamp, pa.date32(), date(2020, 1, 1), at("00:00")),
        (Float32, pa.float64(), 0.1, 0.10000000149011612),
        (Float64, pa.int32(), 7, 7.0),
        (Int32, pa.int64(), 7, 7),
        (Array(Int32), pa.list_(pa.int64()), [7], [7]),
        (Map, pa.struct([("a", pa.int64())]), {"a": 1}, {"a": 1}),
        (Map, pa.map_(pa.string(), pa.int64()), [("a", 1)], [("a", 1)]),
        (String, pa.dictionary(pa.int8(), pa.string()), "x", "x"),
    ],
)
def test_what_is_stored_in_another_way_is_given_as_it_was_declared(
    dtype: FeastType, stored: pa.DataType, value: Any, seen: Any
):
    values = pa.chunked_array([pa.array([value, None], stored)])

    assert declared(values, Field(name="x", dtype=dtype), where="t").to_pylist() == [seen, None]


@pytest.mark.parametrize(
    ("dtype", "stored", "value"),
    [
        (Int64, pa.string(), "1"),
        (Int32, pa.int64(), 2**40),
        (Float64, pa.int64(), 2**60 + 1),
        (Float32, pa.float64(), 1e39),
        (Array(Float32), pa.list_(pa.float64()), [1.0, 1e39]),
        (String, pa.int64(), 1),
        (Bool, pa.int8(), 1),
        (UnixTimestamp, pa.timestamp("us"), datetime(2020, 1, 1)),
        (Decimal, pa.float64(), 1.5),
        (Array(Int64), pa.list_(pa.string()), ["1"]),
        (Array(Int64), pa.int64(), 1),
        (Map, pa.map_(pa.int64(), pa.string()), [(1, "a")]),
        (Struct({"a": Int64}), pa.struct([("b", pa.int64())]), {"b": 1}),
    ],
)
def test_what_is_stored_as_another_kind_is_refused_with_the_feature(dtype: FeastType, stored: pa.DataType, value: Any):
    values = pa.chunked_array([pa.array([value], stored)])

    with pytest.raises(InvalidDataError, match="Feature 'x' is declared"):
        declared(values, Field(name="x", dtype=dtype), where="t")
