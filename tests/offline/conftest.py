"""A project with a few sales per shop, through a real FeatureStore with a registry in SQL."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, PushSource, RequestSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from larder.offline import DeltaSource
from tests.offline.project import feature_store, write_table
from tests.offline.shop import instants


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with sales per shop, a windowed view, and a request-time feature; its path has a space."""
    folder = tmp_path_factory.mktemp("my project")
    write_table(
        folder,
        "silver/sales",
        pa.table(
            {
                "shop_number": ["a", "a", "b"],
                "sold_at": instants("10:00", "11:00", "10:00"),
                "amount": [1.0, 2.0, float("nan")],
                "pieces": pa.array([1, None, 3], pa.int32()),
                "last_seen_at": instants("09:00", "10:30", "09:30"),
            }
        ),
    )
    write_table(
        folder,
        "gold/sales_recent",
        pa.table(
            {
                "shop_id": ["a", "a"],
                "event_timestamp": instants("10:00", "10:00"),
                "known_at": instants("10:00", "12:00"),
                "sales_1h": [1.0, 5.0],
            }
        ),
    )
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> FeatureStore:
    store = feature_store(folder)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = DeltaSource(
        name="sales_source",
        path="silver/sales",
        timestamp_field="sold_at",
        field_mapping={"shop_number": "shop_id"},
        description="One row per sale",
        tags={"grain": "sale"},
        owner="sales@example.org",
    )
    sales = FeatureView(
        name="sales",
        entities=[shop],
        ttl=timedelta(hours=2),
        source=source,
        schema=[
            Field(name="shop_id", dtype=String),
            Field(name="amount", dtype=Float64),
            Field(name="pieces", dtype=Int64),
            Field(name="last_seen_at", dtype=UnixTimestamp),
        ],
    )
    recent = StreamFeatureView(
        name="sales_recent",
        entities=[shop],
        ttl=timedelta(days=1),
        source=PushSource(name="sales_push", batch_source=source),
        timestamp_field="sold_at",
        aggregations=[Aggregation("amount", "sum", timedelta(hours=1), timedelta(minutes=5), "sales_1h")],
        schema=[Field(name="shop_id", dtype=String), Field(name="sales_1h", dtype=Float64)],
    )
    visit = RequestSource(name="visit", schema=[Field(name="visited_at", dtype=UnixTimestamp)])

    @on_demand_feature_view(
        sources=[visit, sales],
        mode="python",
        schema=[Field(name="minutes_since", dtype=Float64), Field(name="has_zone", dtype=Int64)],
    )
    def visits(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = list(zip(inputs["visited_at"], inputs["last_seen_at"], strict=True))
        return {
            "minutes_since": [None if seen is None else (now - seen).total_seconds() / 60 for now, seen in pairs],
            "has_zone": [int(now.utcoffset() is not None) for now, _ in pairs],
        }

    other = sales.with_name("other").with_join_key_map({"shop_id": "other_id"})[["amount"]]
    both = FeatureService(name="both", features=[sales.with_name("own")[["amount"]], other])
    store.apply([shop, source, sales, recent, visits, both])
    return store
