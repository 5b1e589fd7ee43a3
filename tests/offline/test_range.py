"""Retrieval without entity rows: every change of the views in a range of time."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError
from larder.offline import DeltaSource
from tests.offline.project import feature_store, write_table
from tests.offline.shop import at, instants


@pytest.fixture
def mixed(tmp_path: Path) -> FeatureStore:
    """A view by shop, one by shop and item, and one without entities."""
    store = feature_store(tmp_path)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
    write_table(
        tmp_path, "sales", pa.table({"shop_id": ["a", "a"], "at": instants("10:00", "11:00"), "amount": [1.0, 2.0]})
    )
    write_table(tmp_path, "stock", pa.table({"shop_id": ["a"], "item_id": [7], "at": instants("10:30"), "left": [5]}))
    write_table(tmp_path, "weekday", pa.table({"at": instants("10:45"), "number": [3]}))

    def view(name: str, entities: list[Entity], *schema: Field) -> FeatureView:
        source = DeltaSource(path=name, timestamp_field="at")
        return FeatureView(name=name, entities=entities, source=source, schema=list(schema), ttl=timedelta(hours=3))

    key = Field(name="shop_id", dtype=String)
    store.apply(
        [
            shop,
            item,
            view("sales", [shop], key, Field(name="amount", dtype=Float64)),
            view("stock", [shop, item], key, Field(name="item_id", dtype=Int64), Field(name="left", dtype=Int64)),
            view("weekday", [], Field(name="number", dtype=Int64)),
        ]
    )
    return store


def test_a_request_without_entity_rows_gives_every_change_in_the_range(store: FeatureStore):
    found = store.get_historical_features(
        features=["sales:amount"], start_date=at("10:30"), end_date=at("12:00")
    ).to_arrow()

    assert found.select(["shop_id", "event_timestamp", "amount"]).to_pylist() == [
        {"shop_id": "a", "event_timestamp": at("11:00"), "amount": 2.0}
    ]


def test_views_with_different_keys_give_a_row_per_change_of_each_with_null_for_the_keys_that_it_lacks(
    mixed: FeatureStore,
):
    found = mixed.get_historical_features(
        features=["sales:amount", "stock:left", "weekday:number"], start_date=at("10:15"), end_date=at("12:00")
    ).to_arrow()

    assert found.column_names == ["shop_id", "item_id", "event_timestamp", "amount", "left", "number"]
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("a", 7, at("10:30"), 1.0, 5, None),
        (None, None, at("10:45"), None, None, 3),
        ("a", None, at("11:00"), 2.0, None, 3),
    ]


def test_a_stored_row_with_a_null_key_is_nobodys_and_makes_no_request(mixed: FeatureStore, tmp_path: Path):
    stray = pa.table(
        {"shop_id": pa.array([None, "a"]), "item_id": [7, None], "at": instants("10:35", "10:40"), "left": [8, 9]}
    )
    write_table(tmp_path, "stock", stray, mode="append")

    found = mixed.get_historical_features(
        features=["stock:left"], start_date=at("10:15"), end_date=at("12:00")
    ).to_arrow()

    assert found.to_pylist() == [{"shop_id": "a", "item_id": 7, "event_timestamp": at("10:30"), "left": 5}]


def test_without_a_start_the_range_is_as_long_as_the_longest_ttl(mixed: FeatureStore):
    found = mixed.get_historical_features(features=["sales:amount"], end_date=at("13:30")).to_arrow()

    assert found["event_timestamp"].to_pylist() == [at("11:00")]


def test_a_range_without_an_end_is_refused(mixed: FeatureStore):
    views = [mixed.get_feature_view("sales")]

    with pytest.raises(ConfigurationError, match="end_date"):
        mixed._get_provider().offline_store.get_historical_features(
            mixed.config, views, ["sales:amount"], None, mixed.registry, mixed.project
        )


@pytest.mark.parametrize(
    ("start", "words"), [("2020-01-01", "'2020-01-01' is a str"), (at("13:00"), "is after end_date")]
)
def test_a_range_of_text_or_backwards_is_refused(mixed: FeatureStore, start: Any, words: str):
    with pytest.raises(ConfigurationError, match=words):
        mixed.get_historical_features(features=["sales:amount"], start_date=start, end_date=at("12:00"))


def test_a_range_without_changes_gives_all_columns_and_no_row(mixed: FeatureStore):
    found = mixed.get_historical_features(
        features=["stock:left"], start_date=at("20:00"), end_date=at("21:00")
    ).to_arrow()

    assert found.num_rows == 0
    assert found.column_names == ["shop_id", "item_id", "event_timestamp", "left"]
