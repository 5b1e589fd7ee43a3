"""Gold on real Spark and Delta: appended once, corrected late, known when it was known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from larder.compute.definition import INSTANT, WindowDefinition, WindowFeature
from larder.compute.events import EventSource
from larder.compute.gold import Refresh, refresh_gold
from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError, MissingTableError

VIEW = WindowDefinition(
    "shop_sales",
    {"shop": pa.string()},
    "sold_at",
    300_000_000,
    (
        WindowFeature("count_10m", "price", "count", 2, pa.int64()),
        WindowFeature("mean_10m", "price", "mean", 2, pa.float64()),
    ),
)


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2013-03-10T{clock}:00+00:00")


class Shop:
    """A source table, its gold table and what one does with them."""

    def __init__(self, folder: Path, spark: SparkSession) -> None:
        self.source, self.gold, self.spark = str(folder / "silver sales"), str(folder / "gold sales"), spark
        self.starts = 0

    def sell(self, *sales: tuple[str | None, str, float | None], mode: str = "append") -> None:
        rows = pa.table(
            {
                "store": pa.array([shop for shop, _, _ in sales], pa.string()),
                "sold_at": pa.array([at(clock) for _, clock, _ in sales], INSTANT),
                "price": pa.array([price for *_, price in sales], pa.float64()),
            }
        )
        write_deltalake(self.source, rows, mode=mode)  # type: ignore[call-overload]

    def refresh(self, until: str, *, is_live: bool = True, view: WindowDefinition = VIEW) -> Refresh:
        source = EventSource(self.source, columns={"shop": "store"})
        return refresh_gold(self._session, view, source, self.gold, until=at(until), is_live=is_live)

    def rows(self) -> list[tuple[Any, ...]]:
        """(shop, event_timestamp, known_at, count, mean), times as hh:mm."""
        stored = DeltaTable(self.gold).to_pyarrow_table().to_pylist()
        return sorted(
            tuple(f"{item:%H:%M}" if isinstance(item, datetime) else item for item in row.values()) for row in stored
        )

    def _session(self) -> SparkSession:
        self.starts += 1
        return self.spark


@pytest.fixture
def shop(tmp_path: Path, spark: SparkSession) -> Iterator[Shop]:
    return Shop(tmp_path, spark)


def test_the_first_build_is_known_as_if_every_run_had_been_on_time(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0), ("A", "10:05", 8.0), (None, "10:02", 1.0), ("B", "10:11", None))

    refresh = shop.refresh("10:20")

    assert shop.rows() == [
        ("A", "10:05", "10:05", 2, 6.0),
        ("A", "10:15", "10:15", 0, None),
        ("B", "10:15", "10:15", 0, None),
    ]
    assert refresh.appended == 3
    assert DeltaTable(shop.gold).schema().to_arrow().names == [
        "shop",
        "event_timestamp",
        "known_at",
        "count_10m",
        "mean_10m",
    ]


def test_a_rerun_appends_nothing_and_asks_for_no_spark(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0))
    shop.refresh("10:20")
    version = DeltaTable(shop.gold).version()

    again = shop.refresh("10:20")

    assert (again.appended, shop.starts, DeltaTable(shop.gold).version()) == (0, 1, version)


def test_leaving_is_written_when_its_instant_has_come(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0))
    shop.refresh("10:14")
    assert shop.rows() == [("A", "10:05", "10:05", 1, 4.0)]

    shop.refresh("10:17")

    assert shop.rows() == [("A", "10:05", "10:05", 1, 4.0), ("A", "10:15", "10:17", 0, None)]


def test_a_late_event_corrects_each_instant_it_touches_from_now_on(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0))
    shop.refresh("10:10")
    shop.sell(("A", "10:02", 8.0), ("A", "09:51", 2.0))

    shop.refresh("10:12")

    assert shop.rows() == [
        ("A", "09:55", "10:12", 1, 2.0),
        ("A", "10:05", "10:05", 1, 4.0),
        ("A", "10:05", "10:12", 2, 6.0),
    ]


def test_an_event_that_moves_leaves_no_stale_answer_behind(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0))
    shop.refresh("10:10")
    shop.sell(("A", "10:08", 4.0), mode="overwrite")

    shop.refresh("10:12")

    assert shop.rows() == [
        ("A", "10:05", "10:05", 1, 4.0),
        ("A", "10:05", "10:12", 0, None),
        ("A", "10:10", "10:12", 1, 4.0),
    ]


def test_an_explicit_earlier_start_backfills_but_still_corrects_from_now_on(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0))
    shop.refresh("10:10")
    shop.sell(("A", "10:02", 8.0), ("A", "10:21", 1.0))

    shop.refresh("10:40", is_live=False)

    assert shop.rows() == [
        ("A", "10:05", "10:05", 1, 4.0),
        ("A", "10:05", "10:40", 2, 6.0),
        ("A", "10:15", "10:15", 0, None),
        ("A", "10:25", "10:25", 1, 1.0),
        ("A", "10:35", "10:35", 0, None),
    ]


def test_a_correction_at_the_same_instant_is_known_later_than_what_it_corrects(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0))
    shop.refresh("10:05")
    shop.sell(("A", "10:02", 8.0))

    shop.refresh("10:05")

    known = DeltaTable(shop.gold).to_pyarrow_table().sort_by("known_at")["known_at"].to_pylist()
    assert known == [at("10:05"), at("10:05") + timedelta(microseconds=1)]


def test_another_definition_is_refused_and_gold_is_left_alone(shop: Shop) -> None:
    shop.sell(("A", "10:01", 4.0))
    shop.refresh("10:05")
    changed = WindowDefinition(VIEW.view, VIEW.keys, VIEW.timestamp, VIEW.slide, VIEW.features[:1])

    with pytest.raises(ConfigurationError, match="new name"):
        shop.refresh("10:10", view=changed)

    assert len(shop.rows()) == 1


@pytest.mark.parametrize(
    ("column", "function", "dtype", "problem"),
    [
        ("store", "mean", pa.float64(), ConfigurationError),
        ("price", "mean", pa.int64(), ConfigurationError),
        ("store", "last", pa.float64(), ConfigurationError),
        ("prize", "mean", pa.float64(), MissingColumnsError),
    ],
)
def test_what_cannot_be_computed_is_refused_before_spark_starts(
    shop: Shop, column: str, function: str, dtype: pa.DataType, problem: type[Exception]
) -> None:
    shop.sell(("A", "10:01", 4.0))
    view = WindowDefinition(
        VIEW.view, VIEW.keys, "sold_at", VIEW.slide, (WindowFeature("x", column, function, 1, dtype),)
    )

    with pytest.raises(problem, match=column):
        shop.refresh("10:05", view=view)
    assert shop.starts == 0


def test_a_naive_time_is_refused_with_its_column(shop: Shop) -> None:
    naive = pa.table({"store": ["A"], "sold_at": pa.array([datetime(2013, 3, 10)], pa.timestamp("us")), "price": [1.0]})
    write_deltalake(shop.source, naive)

    with pytest.raises(InvalidDataError, match="sold_at"):
        shop.refresh("10:05")


def test_a_missing_source_is_said_with_the_remedy(shop: Shop) -> None:
    with pytest.raises(MissingTableError, match="larder ingest"):
        shop.refresh("10:05")


def test_what_gold_says_of_any_instant_is_a_batch_run_over_the_events_of_that_time(shop: Shop) -> None:
    """Three batches arrive out of order; between two refreshes gold answers from the earlier one's events."""
    batches = [
        [("A", "10:01", 1.0), ("B", "10:07", 2.0)],
        [("A", "09:58", 4.0), ("A", "10:13", 8.0), ("B", "10:07", 16.0)],
        [("B", "10:21", 32.0), ("A", "10:12", 64.0), ("A", "10:01", 128.0)],
    ]
    refreshes = ["10:15", "10:24", "10:50"]
    for batch, until in zip(batches, refreshes, strict=True):
        shop.sell(*batch)
        shop.refresh(until)

    arrived: list[tuple[str, str, float]] = []
    for batch, until in zip(batches, refreshes, strict=True):
        arrived += batch
        for key in ("A", "B"):
            assert as_of(shop, key, at(until)) == batch_run(arrived, key, at(until)), (key, until)


def as_of(shop: Shop, key: str, instant: datetime) -> tuple[int, float | None]:
    rows = [row for row in DeltaTable(shop.gold).to_pyarrow_table().to_pylist() if row["shop"] == key]
    known = [row for row in rows if row["known_at"] <= instant]
    latest = max(known, key=lambda row: (row["event_timestamp"], row["known_at"]))
    return latest["count_10m"], latest["mean_10m"]


def batch_run(sales: list[tuple[str, str, float]], key: str, instant: datetime) -> tuple[int, float | None]:
    grid = datetime.fromtimestamp(instant.timestamp() // 300 * 300, tz=UTC)
    prices = [price for shop, sold, price in sales if shop == key and grid - timedelta(minutes=10) < at(sold) <= grid]
    return len(prices), sum(prices) / len(prices) if prices else None
