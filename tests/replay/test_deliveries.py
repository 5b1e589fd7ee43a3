"""Raw rows arrive when they arrived, once, and changed where an incident says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from larder.contracts.ingestion import Column, RawTable
from replay.deliveries import ARRIVES_AT, Deliveries, shuffled, with_incidents, write_file
from replay.incidents import Incident
from replay.lake import boundaries, late_rows, rows_on_time

FIRST = datetime(2024, 3, 1, tzinfo=UTC)
ORDERS = RawTable("orders", files="orders*.csv", columns=(Column("id"), Column("delay", "float64")), key=("id",))


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number)


@pytest.fixture
def arrived() -> Deliveries:
    """One row a day for ten days, and one that was always there."""
    rows = pl.DataFrame(
        {
            "id": ["known", *(f"o{number}" for number in range(10))],
            "delay": ["1", *(str(number) for number in range(10))],
            ARRIVES_AT: [None, *(day(number) for number in range(10))],
        },
        schema_overrides={ARRIVES_AT: pl.Datetime("us", "UTC")},
    )
    return Deliveries(ORDERS, rows)


def ids(rows: pl.DataFrame) -> list[str]:
    return rows["id"].to_list()


def test_without_incidents_all_arrives_on_time(arrived: Deliveries):
    assert boundaries((), day(10)) == [day(10)]
    assert ids(rows_on_time(arrived, None, day(10), ())) == ["known", *(f"o{number}" for number in range(10))]


def test_rows_of_a_stopped_feed_arrive_at_its_end_and_only_then(arrived: Deliveries):
    stop = (Incident("feed_stops", day(3), day(5), table="orders"),)

    assert boundaries(stop, day(10)) == [day(5), day(10)]
    assert ids(rows_on_time(arrived, None, day(5), stop)) == ["known", "o0", "o1", "o2"]
    assert ids(late_rows(arrived, day(5), stop)) == ["o3", "o4"]
    assert ids(rows_on_time(arrived, day(5), day(10), stop)) == ["o5", "o6", "o7", "o8", "o9"]
    assert late_rows(arrived, day(10), stop).is_empty()


def test_a_stop_of_one_feed_leaves_the_others(arrived: Deliveries):
    stop = (Incident("feed_stops", day(3), day(5), table="returns"),)

    assert rows_on_time(arrived, None, day(5), stop).height == 6


def test_files_that_are_repeated_come_once_more_in_another_order(arrived: Deliveries):
    again = (Incident("repeated_files", day(0), day(9), table="orders"),)

    assert rows_on_time(arrived, None, day(9), again).height == 10
    repeated = ids(late_rows(arrived, day(9), again))
    assert sorted(repeated) == [f"o{number}" for number in range(9)] != repeated


def test_a_wrong_unit_changes_the_rows_that_it_names_while_it_lasts(arrived: Deliveries):
    seconds = Incident("wrong_unit", day(2), day(4), table="orders", columns=("delay",), factor=60)
    one = Incident("shift", day(5), day(9), table="orders", columns=("delay",), add=0.5, where={"id": "o6"})

    changed = with_incidents(arrived.rows, "orders", (seconds, one))

    assert changed["delay"].to_list() == ["1", "0", "1", "120", "180", "4", "5", "6.5", "7", "8", "9"]
    assert with_incidents(arrived.rows, "returns", (seconds,)).equals(arrived.rows)


def test_a_share_of_the_rows_is_the_same_one_each_time(arrived: Deliveries):
    some = Incident("shift", day(0), day(10), table="orders", columns=("delay",), add=100, share=0.5)

    first, second = (with_incidents(arrived.rows, "orders", (some,))["delay"].to_list() for _ in range(2))

    assert first == second
    assert 0 < sum(float(text) >= 100 for text in first) < 10


def test_a_file_has_the_name_and_form_that_ingestion_expects(arrived: Deliveries, tmp_path: Path):
    path = write_file(arrived.rows.head(2), ORDERS, tmp_path / "raw", 7)

    assert path == tmp_path / "raw" / "orders-0007.csv"
    assert path.read_text() == "id,delay\nknown,1\no0,0\n"
    assert write_file(arrived.rows.clear(), ORDERS, tmp_path / "raw", 8) is None


def test_a_file_is_parquet_or_json_lines_where_the_pattern_says_so(arrived: Deliveries, tmp_path: Path):
    parquet, lines = (
        write_file(arrived.rows.head(2), replace(ORDERS, files=files), tmp_path, 7)
        for files in ("orders/*.parquet", "orders*.jsonl.gz")
    )

    assert parquet == tmp_path / "orders" / "-0007.parquet"
    assert lines == tmp_path / "orders-0007.jsonl"
    assert pl.read_parquet(parquet).equals(pl.read_ndjson(lines))
    assert pl.read_parquet(parquet)["id"].to_list() == ["known", "o0"]


def test_shuffling_keeps_every_row(arrived: Deliveries):
    assert shuffled(arrived.rows, seed=1).sort("id").equals(arrived.rows.sort("id"))
