"""Windows after an erasure: they go on where they stood, and count only the events that are left."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.events import EventSource
from larder.compute.refresh.corrections import Run, missing_rows
from larder.compute.refresh.gold import refresh_gold
from larder.contracts.clock import microseconds
from larder.erasure import tables
from larder.erasure.subject import Key, Subject
from larder.offline.history import History
from larder.offline.tables.gold import gold_position
from larder.offline.tables.kinds import INSTANT
from larder.online.position import Position
from larder.push.plan import push_plan

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SLIDE = 5 * 60_000_000
COUNTS = (WindowFeature("count_10m", "price", "count", 2, pa.int64()),)
BY_SHOP = WindowDefinition("shop_sales", {"shop": pa.string()}, "sold_at", SLIDE, COUNTS)
BY_BUYER = WindowDefinition("buyer_sales", {"buyer": pa.string()}, "sold_at", SLIDE, COUNTS)
ANN = Subject((Key("buyer", "ann", frozenset({"buyer"})),))


class Sales:
    def __init__(self, folder: Path) -> None:
        self.source = str(folder / "silver")
        self.gold = {view.view: str(folder / view.view) for view in (BY_SHOP, BY_BUYER)}

    def sell(self, *sales: tuple[str, str, float]) -> None:
        """Shop, buyer, minutes after noon."""
        shops, buyers, minutes = zip(*sales, strict=True)
        times = pa.array([NOON + timedelta(minutes=minute) for minute in minutes], INSTANT)
        rows = pa.table({"shop": shops, "buyer": buyers, "sold_at": times, "price": [1.0] * len(sales)})
        write_deltalake(self.source, rows, mode="append")

    def refresh(self, minutes: float) -> None:
        until = NOON + timedelta(minutes=minutes)
        for view in (BY_SHOP, BY_BUYER):
            refresh_gold(_no_spark, view, EventSource(self.source), self.gold[view.view], until=until, is_live=True)

    def rows(self, view: WindowDefinition) -> list[tuple[object, ...]]:
        """Key, minutes after noon of event and known at, count."""
        rows = DeltaTable(self.gold[view.view]).to_pyarrow_table().to_pylist()
        return sorted(
            (
                row[next(iter(view.keys))],
                *(_minutes(row[name]) for name in ("event_timestamp", "known_at")),
                row[COUNTS[0].name],
            )
            for row in rows
        )

    def lacking(self, view: WindowDefinition, minutes: float) -> int:
        """Rows that a comparison of everything finds missing."""
        events, gold = (DeltaTable(table).to_pyarrow_table() for table in (self.source, self.gold[view.view]))
        until = microseconds(NOON + timedelta(minutes=minutes))
        return int(missing_rows(events, gold, view, Run(until, until, is_live=True)).num_rows)


@pytest.fixture
def sales(tmp_path: Path) -> Sales:
    made = Sales(tmp_path)
    made.sell(("north", "ann", 1), ("north", "bob", 2))
    made.refresh(6)
    return made


def test_who_was_erased_has_no_row_and_others_are_corrected_from_then_on(sales: Sales):
    for table in (sales.source, *sales.gold.values()):
        tables.erase(table, ANN)

    sales.refresh(8)

    assert {row[0] for row in sales.rows(BY_BUYER)} == {"bob"}
    # At 12:05 the shop had sold twice, as serving said at the time; since 12:08 it is known to have been once.
    assert sales.rows(BY_SHOP) == [("north", 5, 5, 2), ("north", 5, 8, 1)]
    assert [sales.lacking(view, 8) for view in (BY_SHOP, BY_BUYER)] == [0, 0]


def test_a_refresh_without_news_adds_nothing_after_an_erasure(sales: Sales):
    for table in (sales.source, *sales.gold.values()):
        tables.erase(table, ANN)
    sales.refresh(8)
    before = {view.view: sales.rows(view) for view in (BY_SHOP, BY_BUYER)}

    sales.refresh(8)
    sales.refresh(9)

    assert {view.view: sales.rows(view) for view in (BY_SHOP, BY_BUYER)} == before


def test_gold_remembers_how_far_it_had_come(sales: Sales):
    before = gold_position(sales.gold["buyer_sales"])

    tables.erase(sales.gold["buyer_sales"], ANN)

    assert gold_position(sales.gold["buyer_sales"]) == before


def test_redis_is_told_to_read_everything_again(sales: Sales):
    gold = sales.gold["buyer_sales"]

    def position() -> Position:
        table = DeltaTable(gold)
        return Position(gold, table.version(), NOON + timedelta(minutes=6), str(table.metadata().id), "schema")

    reached = position()
    left = tables.erase(gold, ANN)

    history = History(
        gold, ("buyer",), (COUNTS[0].name,), "event_timestamp", "known_at", cutoff=True, version=left.version
    )
    plan = push_plan(history, reached, position())

    assert plan.is_correcting and "log no longer tells" in plan.why_full


def _minutes(instant: datetime) -> float:
    return (instant - NOON) / timedelta(minutes=1)


def _no_spark() -> None:
    pytest.fail("Spark for a handful of rows")
