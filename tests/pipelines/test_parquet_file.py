"""Parquet files come out as the CSV text that a declared type asks for."""

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from larder.contracts.ingestion import Column, RawTable
from pipelines.raw import RawFile, RefusedFile, checked_file

TABLE = RawTable("orders", files="orders*.parquet", key=("order",), columns=(Column("order"), Column("price")))


def _checked(path: Path) -> RawFile | RefusedFile:
    staging = path.parent / "staging"
    staging.mkdir(exist_ok=True)
    return checked_file(path, TABLE, root=path.parent, staging=staging)


def _texts(path: Path) -> list[list[str]]:
    """Of the rows, without the header."""
    file = _checked(path)
    assert isinstance(file, RawFile)
    with open(file.staged, newline="") as staged:
        header, *rows = csv.reader(staged)
    assert tuple(header) == file.columns
    return rows


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([1, None, 2**63], pa.uint64()), ["1", "", "9223372036854775808"]),
        (pa.array([3.0, 0.1, 1e-7]), ["3", "0.1", "1e-7"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([date(2024, 2, 29)]), ["2024-02-29"]),
        (pa.array([Decimal("1.50")]), ["1.50"]),
        (pa.array(["a,b", 'say "hi"', "two\nlines"]), ["a,b", 'say "hi"', "two\nlines"]),
        (pa.array(["x", None]).dictionary_encode(), ["x", ""]),
        (pa.array(["x"], pa.string_view()), ["x"]),
        (pa.array([{"a": [1, None]}, None]), ['{"a": [1, null]}', ""]),
        (pa.array([b"\xff", None]), ["/w==", ""]),
    ],
)
def test_values_come_as_text(tmp_path: Path, values: pa.Array, texts: list[str]):
    numbers = pa.array(range(len(values)))
    pq.write_table(pa.table({"order": numbers, "price": values}), tmp_path / "orders.parquet")

    assert [row[1] for row in _texts(tmp_path / "orders.parquet")] == texts


def test_instants_are_utc_and_local_times_have_no_offset(tmp_path: Path):
    noon = datetime(2024, 7, 1, 12, tzinfo=UTC)
    rows = pa.table(
        {
            "order": pa.array([noon], pa.timestamp("ns", "Europe/Berlin")),
            "price": pa.array([noon.replace(tzinfo=None)], pa.timestamp("ms")),
        }
    )
    pq.write_table(rows, tmp_path / "orders.parquet")

    assert _texts(tmp_path / "orders.parquet") == [["2024-07-01 12:00:00.000000Z", "2024-07-01 12:00:00.000000"]]


def test_rows_keep_their_order_over_row_groups(tmp_path: Path):
    rows = pa.table({"order": range(1000), "price": range(1000)})
    pq.write_table(rows, tmp_path / "orders.parquet", row_group_size=7)

    assert [int(order) for order, _ in _texts(tmp_path / "orders.parquet")] == list(range(1000))


def test_a_file_without_rows_has_none(tmp_path: Path):
    pl.DataFrame({"order": [], "price": []}).write_parquet(tmp_path / "orders.parquet")

    file = _checked(tmp_path / "orders.parquet")

    assert isinstance(file, RawFile)
    assert not file.has_rows


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path):
    path = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"order": range(100), "price": range(100)}), path)
    path.write_bytes(path.read_bytes()[:-10])

    refused = _checked(path)

    assert isinstance(refused, RefusedFile)
    assert refused.reason.startswith("orders.parquet cannot be unpacked or read")
    assert refused.reason.endswith("it is damaged or cut off. Deliver it again.")


def test_a_file_with_a_damaged_column_name_is_refused(tmp_path: Path):
    path = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"order": [1], "price": [2]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"price", b"pric\xff"))

    refused = _checked(path)

    assert isinstance(refused, RefusedFile)
    assert refused.reason.endswith("it is damaged or cut off. Deliver it again.")


def test_a_file_without_a_declared_column_is_refused(tmp_path: Path):
    pq.write_table(pa.table({"order": [1], "cost": [2]}), tmp_path / "orders.parquet")

    refused = _checked(tmp_path / "orders.parquet")

    assert isinstance(refused, RefusedFile)
    assert "lacks the columns ['price']; its schema has ['order', 'cost']" in refused.reason
