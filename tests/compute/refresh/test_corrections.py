"""When a corrected row becomes known, on plain tables."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.refresh.corrections import Run, missing_rows
from larder.compute.refresh.task import gold_schema
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import History
from larder.offline.join.latest import latest_at
from larder.offline.tables.kinds import INSTANT

VIEW = WindowDefinition(
    "shop_sales",
    {"shop": pa.string()},
    "sold_at",
    300_000_000,
    (WindowFeature("sum_10m", "price", "sum", 2, pa.float64()),),
)
GOLD = History("gold", ("shop",), ("sum_10m",), EVENT_TIMESTAMP, KNOWN_AT, cutoff=True)
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def sales(*rows: tuple[int, float]) -> pa.Table:
    """(minutes before noon, price) in shop a"""
    instants = pa.array([NOON - timedelta(minutes=minutes) for minutes, _ in rows], INSTANT)
    return pa.table({"shop": ["a"] * len(rows), "sold_at": instants, "price": [price for _, price in rows]})


def run(events: pa.Table, gold: pa.Table, previous: datetime | None) -> pa.Table:
    micros = [None if at is None else int(at.timestamp()) * 1_000_000 for at in (NOON, previous)]
    return missing_rows(events, gold, VIEW, Run(micros[0] or 0, micros[1], is_live=True))


def held(gold: pa.Table, at: datetime) -> list[float]:
    values: list[float] = latest_at(gold, GOLD, instant=at)["sum_10m"].to_pylist()
    return values


def test_a_corrected_row_of_the_very_instant_of_the_run_is_known_one_tick_later():
    """Two rows of one instant and one known_at could not be told apart; what noon answered stays noon's answer."""
    gold = run(sales((0, 4.0)), gold_schema(VIEW).empty_table(), None)
    gold = pa.concat_tables([gold, run(sales((0, 4.0), (0, 8.0)), gold, NOON)])
    again = run(sales((0, 4.0), (0, 8.0), (0, 16.0)), gold, NOON)

    assert [held(gold, NOON), held(gold, NOON + TICK)] == [[4.0], [12.0]]
    assert again[KNOWN_AT].to_pylist() == [NOON + 2 * TICK]


def test_a_corrected_row_of_an_earlier_instant_is_known_from_the_run_on():
    gold = run(sales((5, 4.0)), gold_schema(VIEW).empty_table(), None)
    gold = pa.concat_tables([gold, run(sales((5, 4.0), (5, 8.0)), gold, NOON)])

    assert [held(gold, NOON - TICK), held(gold, NOON)] == [[4.0], [12.0]]


def test_a_correction_without_change_is_not_written():
    gold = run(sales((5, 4.0)), gold_schema(VIEW).empty_table(), None)

    assert run(sales((5, 4.0)), gold, NOON).num_rows == 0
