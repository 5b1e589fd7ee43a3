"""The tables are the same whatever the raw files came as."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from pyspark.sql import SparkSession

from tests.pipelines.conftest import SHOP, Project, new_project

CUSTOMERS = [{"customer": "ann", "country": "DE"}, {"customer": "bob", "country": 'a, "b"\nand c'}]
ORDERS = [
    {"order": 1, "customer": "ann", "quantity": 2, "price": 5.0, "status": "paid",
     "placed_at": datetime(2020, 1, 1, 10, tzinfo=UTC), "note": None},
    {"order": 2, "customer": "bob", "quantity": 200, "price": 0.25, "status": "open",
     "placed_at": datetime(2020, 1, 2, 10, 0, 0, 5, tzinfo=UTC), "note": "NA"},
    {"order": 3, "customer": "bob", "quantity": 3, "price": 1e-7, "status": "open",
     "placed_at": datetime(2020, 1, 3, tzinfo=UTC), "note": "fragile"},
]  # fmt: skip


def _write(rows: list[dict[str, object]], path: Path) -> None:
    frame = pl.DataFrame(rows)
    match path.suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row, default=datetime.isoformat) + "\n" for row in rows))
        case _:
            frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")


@pytest.fixture(scope="module")
def shops(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """After one ingestion each, by the end of their files' names."""
    made = {}
    for suffix in ("csv", "parquet", "jsonl"):
        raw = tuple(replace(table, files=f"{table.name}*.{suffix}") for table in SHOP.raw)
        shop = new_project(replace(SHOP, raw=raw), spark, tmp_path_factory.mktemp(suffix))
        shop.settings.raw.mkdir(parents=True)
        _write(CUSTOMERS, shop.settings.raw / f"customers.{suffix}")
        _write(ORDERS, shop.settings.raw / f"orders.{suffix}")
        shop.ingest()
        made[suffix] = shop
    return made


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_silver_labels_and_quarantine_are_those_of_csv(shops: dict[str, Project], suffix: str):
    columns = ("order", "customer", "country", "status", "total", "placed_at", "note")

    assert shops[suffix].rows("silver/orders", *columns) == shops["csv"].rows("silver/orders", *columns)
    assert [row[0] for row in shops[suffix].rows("silver/orders", "order")] == [1, 3]
    assert len(shops[suffix].rows("labels/paid_orders")) == 1
    assert shops[suffix].quarantined("orders") == [(f"orders.{suffix}", 2, "quantity", "200")]


def test_a_line_that_is_no_object_goes_to_quarantine_as_a_text_of_csv(shops: dict[str, Project]):
    shop, row = shops["jsonl"], ORDERS[0] | {"order": 4}
    shop.put("orders_2.jsonl", json.dumps(row, default=datetime.isoformat), '{"order": 5,', "[6, 7]")

    shop.ingest()

    assert ("orders_2.jsonl", 2, "malformed_record", '"{""order"": 5,"') in shop.quarantined("orders")
    assert ("orders_2.jsonl", 3, "malformed_record", '"[6, 7]"') in shop.quarantined("orders")
    assert (4,) in shop.rows("silver/orders", "order")
