"""Raw rows arrive when they arrived, once, and changed where an incident says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from larder.contracts.ingestion import Column, RawTable
from replay.deliveries import (
    ARRIVES_AT,
    KEY,
    OUT_OF_TURN,
    Deliveries,
    in_order_of_arrival,
    latest,
    shuffled,
    with_incidents,
    write_file,
)
from replay.incidents import Incident
from replay.lake import boundaries, late_rows, rows_on_time, rows_out_of_turn, runs_with_news

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
            KEY: ["known", *(f"o{number}" for number in range(10))],
            OUT_OF_TURN: [False] * 11,
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
    assert ids(rows_on_time(arrived, None, day(5), stop)) == ["known", "o0", "o1", "o2", "o5"]
    assert ids(late_rows(arrived, day(5), stop)) == ["o3", "o4"]
    assert ids(rows_on_time(arrived, day(5), day(10), stop)) == ["o6", "o7", "o8", "o9"]
    assert late_rows(arrived, day(10), stop).is_empty()


def test_a_stop_of_one_feed_leaves_the_others(arrived: Deliveries):
    stop = (Incident("feed_stops", day(3), day(5), table="returns"),)

    assert rows_on_time(arrived, None, day(5), stop).height == 7


def test_files_that_are_repeated_come_once_more_in_another_order(arrived: Deliveries):
    again = (Incident("repeated_files", day(0), day(9), table="orders"),)

    assert rows_on_time(arrived, None, day(9), again).height == 11
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


def told(*rows: tuple[str, int, int | None, str, bool]) -> pl.DataFrame:
    """Raw rows about "a", "b" ... in files of their days: (key, file, day of arrival, delay, is late)."""
    return pl.DataFrame(
        {
            "batch_id": [0] * len(rows),
            "source_file": [f"orders{file}.csv" for _, file, _, _, _ in rows],
            "row_number": list(range(len(rows))),
            "id": [key for key, *_ in rows],
            "delay": [delay for _, _, _, delay, _ in rows],
            ARRIVES_AT: [None if at is None else day(at) for _, _, at, _, _ in rows],
            KEY: [None if key == "?" else key for key, *_ in rows],
            OUT_OF_TURN: [is_late for *_, is_late in rows],
        },
        schema_overrides={ARRIVES_AT: pl.Datetime("us", "UTC")},
    )


def arranged(*rows: tuple[str, int, int | None, str, bool]) -> list[tuple[str, str, bool]]:
    """(key, delay, is out of turn) of what anybody ever saw, as it arrived."""
    return in_order_of_arrival(told(*rows), ["id", "delay"]).select("id", "delay", OUT_OF_TURN).rows()


def test_a_correction_arrives_out_of_turn_and_what_it_corrects_on_time():
    found = arranged(("a", 1, 1, "5", False), ("b", 1, 2, "6", False), ("a", 2, 4, "7", False))

    assert found == [("a", "5", False), ("b", "6", False), ("a", "7", True)]


def test_a_value_that_returns_to_what_it_was_is_a_correction_and_one_that_is_repeated_is_not():
    found = arranged(("a", 1, 1, "5", False), ("a", 2, 2, "5", False), ("a", 3, 3, "7", False), ("a", 4, 4, "5", False))

    assert found == [("a", "5", False), ("a", "7", True), ("a", "5", True)]


def test_a_row_whose_correction_came_no_later_was_never_seen():
    assert arranged(("a", 1, 2, "5", False), ("a", 2, 2, "7", False)) == [("a", "7", False)]
    assert arranged(("a", 1, None, "5", False), ("a", 2, None, "7", False)) == [("a", "7", False)]


def test_a_late_row_is_out_of_turn_and_a_refused_one_comes_with_the_row_before_it():
    found = arranged(("a", 1, 3, "5", True), ("?", 1, None, "x", False), ("b", 2, 2, "6", False))

    assert found == [("b", "6", False), ("a", "5", True), ("?", "x", False)]


def test_of_the_rows_about_one_event_that_come_together_the_last_counts():
    rows = told(("a", 1, 1, "5", False), ("a", 2, 3, "7", False), ("a", 3, 4, "8", False))

    assert latest(in_order_of_arrival(rows, ["delay"]))["delay"].to_list() == ["8"]


@pytest.fixture
def corrected() -> Deliveries:
    rows = told(("a", 1, 1, "5", False), ("b", 1, 4, "6", False), ("a", 2, 4, "7", False), ("b", 3, 7, "8", False))
    return Deliveries(ORDERS, in_order_of_arrival(rows, ["id", "delay"]))


def test_what_comes_out_of_turn_is_found_by_the_next_run_which_has_a_stretch_to_itself(corrected: Deliveries):
    begin = day(2) - timedelta(hours=6)

    runs = runs_with_news([corrected], begin, day(6))

    assert runs == [day(4) + timedelta(hours=18)]
    assert boundaries((), day(6), runs) == [runs[0] - timedelta(days=1), runs[0], day(6)]
    assert rows_on_time(corrected, begin, runs[0], ())["delay"].to_list() == ["6"]
    assert rows_out_of_turn(corrected, begin, runs[0], ())["delay"].to_list() == ["7"]


def test_the_first_run_takes_corrections_as_if_they_had_always_been_known(corrected: Deliveries):
    assert latest(rows_on_time(corrected, None, day(5), ()))["delay"].to_list() == ["6", "7"]
    assert rows_out_of_turn(corrected, None, day(5), ()).is_empty()


def test_a_stopped_feed_holds_back_its_corrections_too(corrected: Deliveries):
    stop = (Incident("feed_stops", day(3), day(8), table="orders"),)

    assert rows_out_of_turn(corrected, day(2), day(8), stop).is_empty()
    assert late_rows(corrected, day(8), stop)["delay"].to_list() == ["7", "8"]
