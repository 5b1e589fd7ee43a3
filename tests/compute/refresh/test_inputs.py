"""A refresh reads from the first instant on that can have changed, and misses nothing by it."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.events import EventSource
from larder.compute.refresh.corrections import Run, missing_rows
from larder.compute.refresh.gold import refresh_gold
from larder.compute.refresh.inputs import Inputs, inputs_of
from larder.contracts.clock import microseconds
from larder.offline.tables.gold import opened_gold, position_in
from larder.offline.tables.kinds import INSTANT

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE = 60_000_000
VIEW = WindowDefinition(
    "sales",
    {"shop": pa.string()},
    "sold_at",
    5 * MINUTE,
    (
        WindowFeature("sum_10m", "price", "sum", 2, pa.float64()),
        WindowFeature("last_15m", "price", "last", 3, pa.float64()),
        WindowFeature("distinct_1h", "price", "count_distinct", 12, pa.int64()),
        WindowFeature("stddev_1h", "price", "stddev", 12, pa.float64()),
    ),
)

Sale: TypeAlias = tuple[str, float, float]
"""Shop, minutes after noon, price."""


class Shop:
    def __init__(self, folder: Path) -> None:
        self.source, self.gold = str(folder / "silver"), str(folder / "gold")

    def sell(self, *sales: Sale, mode: str = "append") -> None:
        shops, minutes, prices = zip(*sales, strict=True)
        times = pa.array([NOON + timedelta(minutes=minute) for minute in minutes], INSTANT)
        write_deltalake(self.source, pa.table({"shop": shops, "sold_at": times, "price": prices}), mode=mode)

    def refresh(self, minutes: float, *, is_live: bool = True) -> int:
        source, until = EventSource(self.source), NOON + timedelta(minutes=minutes)
        session = lambda: pytest.fail("Spark for a handful of rows")  # noqa: E731
        return refresh_gold(session, VIEW, source, self.gold, until=until, is_live=is_live).appended

    def inputs(self) -> Inputs:
        stored = opened_gold(self.gold)
        assert stored is not None
        return inputs_of(VIEW, EventSource(self.source), DeltaTable(self.source), stored, position_in(stored))

    def lacking(self, minutes: float) -> pa.Table:
        """What a comparison of everything finds missing."""
        events, gold = (DeltaTable(table).to_pyarrow_table() for table in (self.source, self.gold))
        until = microseconds(NOON + timedelta(minutes=minutes))
        return missing_rows(events, gold, VIEW, Run(until, until, is_live=True))


def minutes(instant: int | None) -> float | None:
    return None if instant is None else (instant - microseconds(NOON)) / MINUTE


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two files of sales, gold up to 12:42."""
    shop = Shop(tmp_path)
    shop.sell(("ann", 1, 2.0), ("bob", 12, 3.0))
    shop.sell(("ann", 33, 4.0), ("ann", 41, 5.0))
    shop.refresh(42)
    return shop


def test_without_a_change_only_instants_to_come_are_looked_at(shop: Shop):
    assert minutes(shop.inputs().gold_from) == 45
    assert minutes(shop.inputs().events_from) == 45 - 65


@pytest.mark.parametrize(("minute", "first"), [(43, 45), (38, 40), (30, 30), (-500, -500)])
def test_a_new_event_counts_from_the_first_instant_that_sees_it(shop: Shop, minute: float, first: float):
    shop.sell(("cleo", minute, 1.0), ("ann", 44, 1.0))

    assert minutes(shop.inputs().gold_from) == first


def test_an_event_that_went_counts_like_one_that_came(shop: Shop):
    DeltaTable(shop.source).delete("price = 3.0")

    assert minutes(shop.inputs().gold_from) == 5  # ann's sale of 12:01 was in the same file


def test_how_much_there_is_to_do_is_told_by_the_files(shop: Shop):
    shop.sell(*(("dan", minute, 1.0) for minute in range(-5_000, -4_000)))
    shop.refresh(42)
    shop.sell(("ann", 43, 1.0))

    work = shop.inputs().work(VIEW)

    assert work is not None
    assert work < 20 < DeltaTable(shop.gold).to_pyarrow_table().num_rows


def test_gold_that_was_compacted_is_still_known(shop: Shop):
    gold = DeltaTable(shop.gold)
    gold.optimize.compact()
    gold.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    shop.sell(("ann", 44, 1.0))

    assert minutes(shop.inputs().gold_from) == 45
    assert shop.refresh(50) > 0
    assert shop.lacking(50).num_rows == 0


def test_everything_is_looked_at_where_gold_was_changed_by_others(shop: Shop):
    DeltaTable(shop.gold).delete("shop = 'bob'")

    assert shop.inputs().gold_from is None
    assert shop.refresh(42.5) > 0
    assert shop.lacking(42.5).num_rows == 0


def test_everything_is_looked_at_where_the_source_was_made_anew(shop: Shop, tmp_path: Path):
    (tmp_path / "silver").rename(tmp_path / "old")
    shop.sell(("ann", 1, 2.0), ("bob", 12, 3.0))
    shop.sell(("ann", 33, 40.0), ("ann", 41, 5.0))

    assert shop.inputs().gold_from is None


def test_everything_is_looked_at_where_files_have_no_statistics(shop: Shop):
    table = pa.table({"shop": ["ann"], "sold_at": pa.array([NOON], INSTANT), "price": [1.0]})
    configuration = {"delta.dataSkippingStatsColumns": "price"}
    write_deltalake(f"{shop.source} plain", table, configuration=configuration)
    shop.source += " plain"

    assert shop.inputs().gold_from is None
    assert shop.inputs().work(VIEW) is None


def test_a_run_to_an_earlier_instant_leaves_the_rest_to_the_next_one(shop: Shop):
    shop.sell(("ann", 2, 7.0))
    assert shop.refresh(20) > 0
    version = DeltaTable(shop.gold).version()

    assert (shop.refresh(20), DeltaTable(shop.gold).version()) == (0, version)
    assert minutes(shop.inputs().gold_from) == 5
    assert shop.refresh(42) > 0
    assert shop.lacking(42).num_rows == 0


def sales(draw: random.Random, around: float) -> Sequence[Sale]:
    lateness = draw.choice([5, 40, 300])
    return [
        (draw.choice(["ann", "bob", "cleo"]), around - draw.uniform(-20, lateness), draw.choice([1.0, 2.5, 0.1]))
        for _ in range(draw.randrange(1, 6))
    ]


@pytest.mark.parametrize("seed", range(12))
def test_a_comparison_of_everything_finds_nothing_that_a_refresh_has_missed(tmp_path: Path, seed: int):
    draw, shop, now = random.Random(seed), Shop(tmp_path), 0.0
    shop.sell(*sales(draw, now))
    for _ in range(8):
        match draw.randrange(6):
            case 0:
                DeltaTable(shop.source).delete(f"shop = '{draw.choice(['ann', 'bob'])}' AND price > 1")
            case 1:
                DeltaTable(shop.source).update(updates={"price": "price * 2"}, predicate="shop = 'ann'")
            case 2:
                DeltaTable(shop.source).optimize.compact()
            case _:
                shop.sell(*sales(draw, now))
        now += draw.choice([0, 1, 7, 33, 200])
        shop.refresh(now, is_live=draw.random() < 0.8)

        assert shop.lacking(now).num_rows == 0
        assert shop.inputs().gold_from is not None
