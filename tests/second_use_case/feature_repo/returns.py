"""What a shop knows of a buyer when an order comes in."""

from datetime import timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, PushSource, RequestSource, StreamFeatureView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.compute import Statistic, windowed
from larder.offline import DeltaSource

buyer = Entity(name="buyer", join_keys=["buyer"], value_type=ValueType.STRING, description="Who orders")

orders = DeltaSource(name="orders", path="silver/orders", timestamp_field="placed_at")
returns = DeltaSource(name="returns", path="silver/returns", timestamp_field="returned_at")

WINDOWS = {"1d": timedelta(days=1), "14d": timedelta(days=14)}
HOURLY = timedelta(hours=1)

buyer_orders = StreamFeatureView(
    name="buyer_orders",
    entities=[buyer],
    ttl=timedelta(days=15),
    timestamp_field="placed_at",
    source=PushSource(name="orders_push", batch_source=orders),
    **windowed(
        [
            Statistic("order_id", "count", "order_count", "Orders"),
            Statistic("amount", "sum", "amount_sum", "Money spent"),
            Statistic("amount", "max", "amount_max", "Largest order"),
            Statistic("amount", "stddev", "amount_stddev", "Sample standard deviation of the amounts"),
        ],
        WINDOWS,
        every=HOURLY,
        keys=[buyer],
    ),
)
buyer_returns = StreamFeatureView(
    name="buyer_returns",
    entities=[buyer],
    ttl=timedelta(days=15),
    timestamp_field="returned_at",
    source=PushSource(name="returns_push", batch_source=returns),
    **windowed(
        [
            Statistic("order_id", "count_distinct", "return_count", "Returned orders"),
            Statistic("amount", "last", "last_return_amount", "Amount of the latest return"),
        ],
        WINDOWS,
        every=HOURLY,
        keys=[buyer],
    ),
)
buyers = FeatureView(
    name="buyers",
    entities=[buyer],
    ttl=timedelta(0),
    source=DeltaSource(name="buyers_source", path="silver/buyers", timestamp_field="joined_at"),
    schema=[
        Field(name="buyer", dtype=String),
        Field(name="country", dtype=String, description="Where the buyer lives"),
    ],
)

basket = RequestSource(name="basket", schema=[Field(name="amount", dtype=Float64, description="Value of the order")])


@on_demand_feature_view(
    sources=[basket, buyer_orders],
    mode="python",
    schema=[
        Field(name="order_amount", dtype=Float64),  # value of the order
        Field(name="amount_share_14d", dtype=Float64),  # value over all that was spent in 14 days
    ],
)
def order_amounts(inputs: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(inputs["amount"], inputs["amount_sum_14d"], strict=True)
    return {
        "order_amount": inputs["amount"],
        "amount_share_14d": [amount / spent if spent else None for amount, spent in pairs],
    }


returns_service = FeatureService(name="returns", features=[order_amounts, buyer_orders, buyer_returns, buyers])
