"""Raw files of a small shop: orders, with their return if there was one, and buyers."""

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from larder.contracts.ingestion import Column, Ingestion, LabelTable, RawTable, SilverTable

RETURN_DAYS = 7


def with_label(orders: DataFrame, _: Mapping[str, DataFrame]) -> DataFrame:
    """Add the prediction instant, the outcome, and when it was known: at the return, else when the time for it ends."""
    end = F.col("placed_at") + F.expr(f"interval {RETURN_DAYS} days")
    return orders.withColumns(
        {
            "event_timestamp": F.col("placed_at"),
            "is_returned": F.col("returned_at").isNotNull(),
            "known_at": F.coalesce("returned_at", end),
        }
    )


ORDER = (Column("order_id"), Column("buyer", nullable=False), Column("amount", "float64", minimum=0))

ingestion = Ingestion(
    raw=(
        RawTable(
            "buyers",
            files="buyers*.csv",
            key=("buyer",),
            columns=(Column("buyer"), Column("country"), Column("joined_at", "timestamp", nullable=False)),
        ),
        RawTable(
            "orders",
            files="orders*.csv",
            key=("order_id",),
            columns=(*ORDER, Column("placed_at", "timestamp", nullable=False), Column("returned_at", "timestamp")),
            transform=with_label,
            arrives_at="event_timestamp",
        ),
    ),
    silver=(
        SilverTable(
            "buyers",
            source="buyers",
            key=("buyer",),
            columns=(Column("buyer"), Column("country"), Column("joined_at", "timestamp")),
        ),
        SilverTable("orders", source="orders", key=("order_id",), columns=(*ORDER, Column("placed_at", "timestamp"))),
        SilverTable(
            "returns",
            source="orders",
            key=("order_id",),
            columns=(*ORDER, Column("returned_at", "timestamp")),
            where="returned_at is not null",
        ),
    ),
    labels=(
        LabelTable(
            "returned_orders",
            source="orders",
            key=("order_id",),
            columns=(
                *ORDER,
                Column("event_timestamp", "timestamp"),
                Column("is_returned", "bool"),
                Column("known_at", "timestamp"),
            ),
        ),
    ),
)
