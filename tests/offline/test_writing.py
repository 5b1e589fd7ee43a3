"""Rows that Feast writes into the table of a source: all or none, types as the table has them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from feast import Entity, FeatureStore, FeatureView, Field, PushSource
from feast.data_source import PushMode
from feast.types import Float32, Int32, Map, String
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError
from larder.offline import DeltaSource
from tests.offline.project import feature_store, write_table
from tests.offline.shop import INSTANT, at, instants

STORED = pa.schema(
    [
        ("shop_number", pa.string()),
        ("sold_at", INSTANT),
        ("created", INSTANT),
        ("pieces", pa.int32()),
        ("amount", pa.float32()),
        ("labels", pa.map_(pa.string(), pa.string())),
    ]
)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """One view whose source renames the key, with a push source over it."""
    store = feature_store(tmp_path)
    write_table(tmp_path, "sales", pa.table([pa.array([], column.type) for column in STORED], schema=STORED))
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = DeltaSource(
        name="sales_source",
        path="sales",
        timestamp_field="sold_at",
        created_timestamp_column="created",
        field_mapping={"shop_number": "shop_id"},
    )
    schema = [
        Field(name="shop_id", dtype=String),
        Field(name="pieces", dtype=Int32),
        Field(name="amount", dtype=Float32),
        Field(name="labels", dtype=Map),
    ]
    pushed = PushSource(name="sales_push", batch_source=source)
    store.apply([shop, pushed, FeatureView(name="sales", entities=[shop], source=pushed, schema=schema)])
    return store


def sales(**changes: Any) -> pd.DataFrame:
    sale = {
        "pieces": [3],
        "shop_number": ["a"],
        "sold_at": [at("10:00")],
        "created": [at("10:01")],
        "amount": [0.1],
        "labels": [{"size": "big"}],
    }
    return pd.DataFrame(sale | changes)


def stored(folder: Path) -> list[dict[str, Any]]:
    return list(pa.table(DeltaTable(str(folder / "lake" / "sales")).scan()).to_pylist())


def test_rows_pushed_to_the_offline_store_are_appended_and_read_back(store: FeatureStore, tmp_path: Path):
    store.push("sales_push", sales(), to=PushMode.OFFLINE)
    store.write_to_offline_store("sales", sales(sold_at=[at("11:00")], pieces=[4]))

    request = pd.DataFrame({"shop_id": ["a", "a"], "event_timestamp": [at("10:30"), at("11:30")]})
    found = store.get_historical_features(request, ["sales:pieces", "sales:labels", "sales:amount"]).to_arrow()

    assert found["pieces"].to_pylist() == [3, 4]
    assert found["labels"].to_pylist() == [[("size", "big")]] * 2
    assert found.schema.field("amount").type == pa.float32()
    assert DeltaTable(str(tmp_path / "lake" / "sales")).version() == 2


def test_no_rows_are_written_whatever_types_pandas_gives_their_columns(store: FeatureStore, tmp_path: Path):
    store.push("sales_push", pd.DataFrame({name: [] for name in sales().columns}), to=PushMode.OFFLINE)

    assert stored(tmp_path) == []


def test_progress_counts_the_rows_written(store: FeatureStore):
    seen: list[int] = []
    rows = pa.Table.from_pandas(sales()).rename_columns(["pieces", "shop_id", "sold_at", "created", "amount", "labels"])

    store._get_provider().offline_write_batch(store.config, store.get_feature_view("sales"), rows, seen.append)

    assert seen == [1]


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"pieces": ["3"]}, "pieces"),
        ({"pieces": [3.0]}, "pieces"),
        ({"pieces": [True]}, "pieces"),
        ({"pieces": [2**31]}, "pieces"),
        ({"amount": ["0.1"]}, "amount"),
        ({"amount": [1e300]}, "amount"),
        ({"shop_number": [7]}, "shop_number"),
        ({"shop_number": [None]}, "shop_number"),
        ({"sold_at": [datetime(2020, 1, 1, 10)]}, "sold_at"),
        ({"sold_at": ["2020-01-01 10:00:00"]}, "sold_at"),
        ({"sold_at": ["yesterday"]}, "sold_at"),
        ({"sold_at": pd.to_datetime([None], utc=True)}, "sold_at"),
        ({"sold_at": pd.to_datetime(["2020-01-01T10:00:00.000000001Z"])}, "sold_at"),
        ({"labels": [{"size": 4}]}, "labels"),
        ({"labels": ["big"]}, "labels"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_column_and_nothing_is_written(
    store: FeatureStore, tmp_path: Path, changes: dict[str, Any], column: str
):
    with pytest.raises(InvalidDataError, match=f"'{column}'.*nothing was written") as refused:
        store.write_to_offline_store("sales", sales(**changes))

    assert refused.value.field == column
    assert stored(tmp_path) == []


def test_only_the_width_of_a_number_and_the_zone_of_an_instant_may_differ(store: FeatureStore, tmp_path: Path):
    berlin = pd.to_datetime(["2020-01-01T11:00:00+01:00"]).tz_convert("Europe/Berlin")

    store.write_to_offline_store("sales", sales(amount=[2], sold_at=berlin, created=[None], labels=[None]))

    assert stored(tmp_path) == [
        {
            "shop_number": "a",
            "sold_at": at("10:00"),
            "created": None,
            "pieces": 3,
            "amount": 2.0,
            "labels": None,
        }
    ]


def test_times_of_json_are_written_as_the_instants_that_they_say(store: FeatureStore, tmp_path: Path):
    texts = {"sold_at": ["2020-01-01T10:00:00Z"], "created": ["2020-01-01 11:01:00+01:00"]}

    store.push("sales_push", sales(**texts), to=PushMode.OFFLINE)

    assert [(row["sold_at"], row["created"]) for row in stored(tmp_path)] == [(at("10:00"), at("10:01"))]


def test_missing_and_unknown_columns_are_named(store: FeatureStore, tmp_path: Path):
    rows = pa.table({"shop_id": ["a"], "sold_at": instants("10:00"), "price": [1.0]})

    with pytest.raises(MissingColumnsError, match=r"lack \['amount', 'created', 'labels', 'pieces'\].*\['price'\]"):
        store._get_provider().offline_write_batch(store.config, store.get_feature_view("sales"), rows, None)
    assert stored(tmp_path) == []


def test_a_source_that_is_pinned_takes_no_rows(store: FeatureStore):
    view = store.get_feature_view("sales")
    view.batch_source = DeltaSource(path="sales", timestamp_field="sold_at", version=0)

    with pytest.raises(ConfigurationError, match="pinned to version 0"):
        store._get_provider().offline_write_batch(store.config, view, pa.table({}), None)


def test_writers_at_the_same_time_lose_no_row(store: FeatureStore, tmp_path: Path):
    view, provider = store.get_feature_view("sales"), store._get_provider()
    names = ["pieces", "shop_id", "sold_at", "created", "amount", "labels"]

    def write(pieces: int) -> None:
        rows = pa.Table.from_pandas(sales(pieces=[pieces])).rename_columns(names)
        provider.offline_write_batch(store.config, view, rows, None)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(12)))

    assert sorted(row["pieces"] for row in stored(tmp_path)) == list(range(12))
