"""What a view declares becomes what the kernel computes, or one clear refusal."""

import copy
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, Field, PushSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from larder.compute import Statistic, windowed
from larder.compute.declaration import window_definition
from larder.compute.definition import WindowFeature
from larder.contracts.errors import ConfigurationError
from larder.offline import DeltaSource

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")

SHOP = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
FIVE_MINUTES = timedelta(minutes=5)


def view(**parts: Any) -> StreamFeatureView:
    sales = DeltaSource(path="silver/sales", timestamp_field="sold_at")
    made = StreamFeatureView(
        name="shop_sales",
        entities=[SHOP],
        timestamp_field="sold_at",
        source=PushSource(name="sales_push", batch_source=sales),
        **parts,
    )
    made.entity_columns = [Field(name="shop_id", dtype=Int64)]
    return made


def aggregated(*aggregations: Aggregation) -> StreamFeatureView:
    return view(aggregations=list(aggregations), schema=[Field(name=item.name, dtype=Float64) for item in aggregations])


def test_a_declaration_becomes_keys_columns_and_windows_in_slides() -> None:
    statistics = [Statistic("price", "mean", "price_mean", "Mean price"), Statistic("price", "count", "sales", "Sales")]
    declared = windowed(statistics, {"1h": timedelta(hours=1)}, every=FIVE_MINUTES, keys=[SHOP])

    definition = window_definition(view(**declared))

    assert definition.keys == {"shop_id": pa.int64()}
    assert definition.slide == 300_000_000
    assert definition.features == (
        WindowFeature("price_mean_1h", "price", "mean", 12, pa.float64()),
        WindowFeature("sales_1h", "price", "count", 12, pa.int64()),
    )


@pytest.mark.parametrize(
    ("aggregations", "seen"),
    [
        ([Aggregation("price", "mean", timedelta(minutes=12), FIVE_MINUTES, "mean_12m")], "'mean_12m'.*multiple"),
        ([Aggregation("price", "mean", timedelta(hours=-1), FIVE_MINUTES, "minus")], "'minus'.*longer than nothing"),
        ([Aggregation("price", "median", timedelta(minutes=10), FIVE_MINUTES, "median")], "'median'.*count_distinct"),
        (
            [
                Aggregation("price", "sum", timedelta(hours=1), FIVE_MINUTES, "a"),
                Aggregation("price", "sum", timedelta(hours=1), timedelta(minutes=10), "b"),
            ],
            "a: 0:05:00, b: 0:10:00",
        ),
    ],
)
def test_what_has_no_exact_grid_is_refused_by_name(aggregations: list[Aggregation], seen: str) -> None:
    with pytest.raises(ConfigurationError, match=seen):
        window_definition(aggregated(*aggregations))


def test_a_field_without_aggregation_is_refused() -> None:
    made = view(
        aggregations=[Aggregation("price", "sum", timedelta(hours=1), FIVE_MINUTES, "revenue_1h")],
        schema=[Field(name="revenue_1h", dtype=Float64), Field(name="town", dtype=String)],
    )

    with pytest.raises(ConfigurationError, match="town"):
        window_definition(made)


def test_the_fingerprint_follows_values_not_descriptions() -> None:
    def fingerprint(length: int, description: str) -> str:
        statistics = [Statistic("price", "sum", "revenue", description)]
        windows = {"w": timedelta(minutes=length)}
        return window_definition(view(**windowed(statistics, windows, every=FIVE_MINUTES, keys=[SHOP]))).fingerprint

    assert fingerprint(10, "Revenue") == fingerprint(10, "Revenue, euro")
    assert fingerprint(10, "Revenue") != fingerprint(15, "Revenue")


def test_neither_the_order_of_fields_nor_of_keys_changes_the_definition() -> None:
    """Feast's registry hands both back in an order that differs from one process to the next."""
    statistics = [Statistic("price", function, function, "Price") for function in ("sum", "mean", "count")]
    windows = {"5m": FIVE_MINUTES, "1h": timedelta(hours=1)}
    made = view(**windowed(statistics, windows, every=FIVE_MINUTES, keys=[SHOP]))
    made.entity_columns = [Field(name="shop_id", dtype=Int64), Field(name="region", dtype=String)]
    other = copy.copy(made)
    for fields in ("features", "entity_columns", "aggregations"):
        setattr(other, fields, getattr(made, fields)[::-1])

    first, second = window_definition(made), window_definition(other)

    assert list(first.keys) == list(second.keys) == ["region", "shop_id"]
    assert first == second
    assert first.fingerprint == second.fingerprint
