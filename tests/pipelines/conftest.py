"""A tiny shop whose raw files the generic ingestion takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.contracts.ingestion import Check, Column, Ingestion, LabelTable, RawTable, SilverTable
from larder.contracts.settings import Settings, load_settings
from pipelines.ingest import IngestionResult, TableResult, ingest
from pipelines.raw import given_paths, raw_paths


@dataclass(frozen=True)
class Project:
    """An ingestion with a lake and a raw folder of its own."""

    ingestion: Ingestion
    settings: Settings
    spark: SparkSession

    def put(self, name: str, *lines: str) -> Path:
        path = self.settings.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def ingest(self, *files: Path) -> IngestionResult:
        tables = self.ingestion.raw
        paths = given_paths(files, tables) if files else raw_paths(self.settings.raw, tables)
        return ingest(self.ingestion, paths, self.settings, lambda: self.spark)

    def result(self, table: str, result: IngestionResult) -> TableResult:
        return next(item for item in result.tables if item.table == table)

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """Rows of `<layer>/<table>`, sorted; empty when there is no such table."""
        uri = f"{self.settings.lake}/{table}"
        if not DeltaTable.is_deltatable(uri):
            return []
        rows = pl.DataFrame(pl.from_arrow(DeltaTable(uri).to_pyarrow_table()))
        return rows.select(columns or rows.columns).sort(pl.all(), nulls_last=True).rows()

    def quarantined(self, table: str) -> list[tuple[Any, ...]]:
        return self.rows(f"quarantine/{table}", "source_file", "row_number", "column", "value")

    def versions(self) -> dict[str, int]:
        logs = Path(self.settings.lake).rglob("_delta_log")
        return {str(log.parent): DeltaTable(str(log.parent)).version() for log in logs}


def new_project(ingestion: Ingestion, spark: SparkSession, folder: Path) -> Project:
    state = folder / "a shop"
    settings = replace(
        load_settings({}),
        home=state,
        state=state,
        lake=str(state / "lake"),
        raw=state / "raw",
        replay_at=datetime(2020, 1, 10, tzinfo=UTC),
    )
    return Project(ingestion, settings, spark)


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Project:
    return new_project(SHOP, spark, tmp_path)


def with_total(orders: DataFrame, tables: Mapping[str, DataFrame]) -> DataFrame:
    customers = tables["customers"].select("customer", "country")
    return orders.join(F.broadcast(customers), on="customer", how="left").withColumns(
        {
            "total": F.col("quantity") * F.col("price"),
            "event_timestamp": F.col("placed_at"),
            "known_at": F.col("placed_at") + F.expr("INTERVAL 1 DAY"),
        }
    )


CUSTOMER = Column("customer", nullable=False)
RAW_ORDER = (
    Column("order", "int64"),
    CUSTOMER,
    Column("quantity", "int64", minimum=1, maximum=100),
    Column("price", "float64", minimum=0),
    Column("status", allowed=("open", "paid")),
    Column("placed_at", "timestamp", nullable=False),
    Column("note"),
)
SHOP = Ingestion(
    raw=(
        RawTable("customers", files="customers*.csv", key=("customer",), columns=(CUSTOMER, Column("country"))),
        RawTable(
            "orders",
            files="orders*.csv",
            key=("order",),
            columns=RAW_ORDER,
            transform=with_total,
            checks=(Check("price", "quantity < 10 OR price < 1000", "is too much for ten pieces or more"),),
        ),
    ),
    silver=(
        SilverTable("customers", source="customers", key=("customer",), columns=(CUSTOMER, Column("country"))),
        SilverTable(
            "orders",
            source="orders",
            key=("order",),
            columns=(
                Column("order", "int64"),
                CUSTOMER,
                Column("country", nullable=False),
                Column("status"),
                Column("total", "float64"),
                Column("placed_at", "timestamp"),
                Column("note"),
            ),
        ),
    ),
    labels=(
        LabelTable(
            "paid_orders",
            source="orders",
            where="status = 'paid'",
            key=("order",),
            columns=(Column("order", "int64"), Column("event_timestamp", "timestamp"), Column("known_at", "timestamp")),
        ),
    ),
)
