"""Gold on real Spark and Delta: appended once, corrected late, known when it was known."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.events import EventSource
from larder.compute.refresh.gold import Refresh, refresh_gold
from larder.contracts.errors import (
    ConfigurationError,
    InvalidDataError,
    LarderError,
    MissingColumnsError,
    MissingTableError,
)
from larder.offline.tables.gold import gold_position
from larder.offline.tables.kinds import INSTANT
from larder.versions.commits import RowChange, commits

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


STORE = {"shop": "store", "day": "sold_at"}
"""The second is none of the windows' names."""

Sale: TypeAlias = tuple[str | None, str, float | None]
"""Shop, time, price."""


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2013-03-10T{clock}:00+00:00")


class Shop:
    """A source table, its gold table and what one does with them."""

    def __init__(self, folder: Path, spark: SparkSession, spark_from_rows: int) -> None:
        self.source, self.gold, self.spark = str(folder / "silver sales"), str(folder / "gold sales"), spark
        self.spark_from_rows = spark_from_rows
        self.starts = 0

    def sell(self, *sales: Sale) -> None:
        """These sales and no others are what the source holds now."""
        rows = pa.table(
            {
                "store": pa.array([shop for shop, _, _ in sales], pa.string()),
                "sold_at": pa.array([at(clock) for _, clock, _ in sales], INSTANT),
                "price": pa.array([price for *_, price in sales], pa.float64()),
            }
        )
        write_deltalake(self.source, rows, mode="overwrite")

    def refresh(
        self,
        until: str,
        *,
        is_live: bool = True,
        view: WindowDefinition = VIEW,
        project: str = "",
        columns: Mapping[str, str] = STORE,
    ) -> Refresh:
        return refresh_gold(
            self._session,
            view,
            EventSource(self.source, columns=columns),
            self.gold,
            until=at(until),
            is_live=is_live,
            project=project,
            spark_from_rows=self.spark_from_rows,
        )

    def refresh_while(self, other: Callable[[], Refresh], until: str) -> Refresh:
        """A refresh on Spark; the other one runs after it has begun and before it ends."""

        def session() -> SparkSession:
            other()
            return self.spark

        source = EventSource(self.source, columns={"shop": "store"})
        return refresh_gold(session, VIEW, source, self.gold, until=at(until), is_live=True, spark_from_rows=0)

    def stored(self, shop: str) -> list[dict[str, Any]]:
        return [row for row in DeltaTable(self.gold).to_pyarrow_table().to_pylist() if row["shop"] == shop]

    def rows(self, shop: str, *, by: str = "23:59") -> list[tuple[Any, ...]]:
        """(event_timestamp, known_at, count, mean) of what was known by then, times as hh:mm."""
        known = [list(row.values())[1:] for row in self.stored(shop) if row["known_at"] <= at(by)]
        return sorted((f"{event:%H:%M}", f"{known_at:%H:%M}", *features) for event, known_at, *features in known)

    def _session(self) -> SparkSession:
        self.starts += 1
        return self.spark


@dataclass(frozen=True)
class Step:
    """One refresh, and all sales that had arrived before it."""

    until: str
    sales: tuple[Sale, ...]
    is_live: bool = True


FIRST: tuple[Sale, ...] = (
    ("steady", "10:01", 4.0), ("steady", "10:05", 8.0), (None, "10:02", 1.0), ("unpriced", "10:07", None),
    ("late", "10:01", 4.0),
)  # fmt: skip
LATE: tuple[Sale, ...] = (("late", "10:02", 8.0), ("late", "09:51", 2.0))
BACKFILL: tuple[Sale, ...] = (("backfilled", "10:02", 8.0), ("backfilled", "10:21", 1.0))
AGAIN: tuple[Sale, ...] = (("backfilled", "10:03", 16.0),)
HISTORY = (
    Step("10:10", (*FIRST, ("moved", "10:01", 4.0))),
    Step("10:12", (*FIRST, *LATE, ("moved", "10:08", 4.0))),
    Step("10:17", (*FIRST, *LATE, ("moved", "10:08", 4.0))),
    Step("10:40", (*FIRST, *LATE, *BACKFILL, ("moved", "10:08", 4.0)), is_live=False),
    Step("10:40", (*FIRST, *LATE, *BACKFILL, *AGAIN, ("moved", "10:08", 4.0))),
)


@pytest.fixture
def shop(tmp_path: Path, spark: SparkSession) -> Shop:
    return Shop(tmp_path, spark, 1_000)


@pytest.fixture(scope="module", params=[0, 1_000], ids=["on Spark", "in this process"])
def shops(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, request: pytest.FixtureRequest) -> Shop:
    """Gold after all of HISTORY. One for all tests: a refresh on Spark takes seconds."""
    shops = Shop(tmp_path_factory.mktemp("gold history"), spark, request.param)
    for step in HISTORY:
        shops.sell(*step.sales)
        shops.refresh(step.until, is_live=step.is_live)
    return shops


def test_the_first_build_is_known_as_if_every_run_had_been_on_time(shops: Shop) -> None:
    assert shops.rows("steady", by="10:10") == [("10:05", "10:05", 2, 6.0)]
    assert shops.rows("unpriced", by="10:10") == [("10:10", "10:10", 0, None)]
    names = ["shop", "event_timestamp", "known_at", "count_10m", "mean_10m"]
    assert DeltaTable(shops.gold).schema().to_arrow().names == names


def test_a_row_without_key_is_nobodys(shops: Shop) -> None:
    assert None not in DeltaTable(shops.gold).to_pyarrow_table()["shop"].to_pylist()


def test_leaving_is_written_when_its_instant_has_come(shops: Shop) -> None:
    assert shops.rows("steady", by="10:16") == [("10:05", "10:05", 2, 6.0)]
    assert shops.rows("steady") == [("10:05", "10:05", 2, 6.0), ("10:15", "10:17", 0, None)]


def test_a_late_event_corrects_each_instant_it_touches_from_now_on(shops: Shop) -> None:
    assert shops.rows("late", by="10:16") == [
        ("09:55", "10:12", 1, 2.0),
        ("10:05", "10:05", 1, 4.0),
        ("10:05", "10:12", 2, 6.0),
    ]


def test_an_event_that_moves_leaves_no_stale_answer_behind(shops: Shop) -> None:
    assert shops.rows("moved", by="10:16") == [
        ("10:05", "10:05", 1, 4.0),
        ("10:05", "10:12", 0, None),
        ("10:10", "10:12", 1, 4.0),
    ]


def test_an_explicit_earlier_start_backfills_but_still_corrects_from_now_on(shops: Shop) -> None:
    assert shops.rows("backfilled", by="10:40") == [
        ("10:05", "10:40", 1, 8.0),
        ("10:15", "10:40", 0, None),
        ("10:25", "10:25", 1, 1.0),
        ("10:35", "10:35", 0, None),
    ]


def test_a_correction_at_the_same_instant_is_known_later_than_what_it_corrects(shops: Shop) -> None:
    corrected = [row for row in shops.stored("backfilled") if row["event_timestamp"] == at("10:05")]

    known = {row["known_at"]: row["mean_10m"] for row in corrected}
    assert known == {at("10:40"): 8.0, at("10:40") + timedelta(microseconds=1): 12.0}


@pytest.mark.parametrize("step", HISTORY[:-1], ids=lambda step: step.until)
def test_what_gold_says_of_any_instant_is_a_batch_run_over_the_events_of_that_time(shops: Shop, step: Step) -> None:
    compared = {shop for shop, sold, _ in step.sales if shop}
    assert {shop: as_of(shops, shop, at(step.until)) for shop in compared} == {
        shop: batch_run(step.sales, shop, at(step.until)) for shop in compared
    }


def test_a_rerun_appends_nothing_and_asks_for_no_spark(shops: Shop) -> None:
    version = DeltaTable(shops.gold).version()

    again = shops.refresh("10:40")

    starts = len(HISTORY) if shops.spark_from_rows == 0 else 0
    assert (again.appended, shops.starts, DeltaTable(shops.gold).version()) == (0, starts, version)


def test_of_two_refreshes_at_once_the_second_to_end_is_dropped(shop: Shop) -> None:
    shop.sell(("ann", "10:01", 4.0))
    shop.refresh("10:05")
    shop.sell(("ann", "10:01", 4.0), ("ann", "10:06", 8.0))

    with pytest.raises(LarderError, match="run this one again"):
        shop.refresh_while(lambda: shop.refresh("10:10"), "10:10")

    assert shop.rows("ann") == [("10:05", "10:05", 1, 4.0), ("10:10", "10:10", 2, 6.0)]


def test_of_two_first_refreshes_at_once_the_second_to_end_is_dropped(shop: Shop) -> None:
    shop.sell(("ann", "10:01", 4.0))

    with pytest.raises(LarderError, match="run this one again"):
        shop.refresh_while(lambda: shop.refresh("10:05"), "10:05")

    assert shop.rows("ann") == [("10:05", "10:05", 1, 4.0)]


def test_a_refresh_with_nothing_to_append_moves_the_position(shop: Shop) -> None:
    shop.sell(("ann", "10:01", 4.0))
    shop.refresh("10:05")

    done = shop.refresh("10:06")

    assert done.appended == 0
    assert gold_position(shop.gold) == done.position
    assert [commit.change for commit in commits(shop.gold)] == [RowChange(1, 0), RowChange(0, 0)]


def test_spark_reads_gold_and_may_append_to_its_own_log_entries(shop: Shop) -> None:
    """Gold of earlier versions was written by Spark, and people run OPTIMIZE."""
    shop.sell(("ann", "10:01", 4.0), ("bob", "10:02", 1.0))
    shop.refresh("10:05")
    shop.spark.sql(f"OPTIMIZE delta.`{shop.gold}`")

    shop.refresh("10:20")

    stored = shop.spark.read.format("delta").load(shop.gold)
    assert stored.count() == DeltaTable(shop.gold).to_pyarrow_table().num_rows == 4
    assert stored.where("event_timestamp > '2013-03-10 10:05:00'").count() == 2


def test_gold_with_partitions_or_mapped_columns_is_refused(shop: Shop) -> None:
    shop.sell(("ann", "10:01", 4.0))
    shop.refresh("10:05")
    mapped = "'delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5'"
    shop.spark.sql(f"ALTER TABLE delta.`{shop.gold}` SET TBLPROPERTIES ({mapped})")

    with pytest.raises(ConfigurationError, match="column mapping"):
        shop.refresh("10:20")


def test_another_definition_is_refused_and_gold_is_left_alone(shops: Shop) -> None:
    version = DeltaTable(shops.gold).version()
    changed = WindowDefinition(VIEW.view, VIEW.keys, VIEW.timestamp, VIEW.slide, VIEW.features[:1])

    with pytest.raises(ConfigurationError, match="new name"):
        shops.refresh("10:50", view=changed)

    assert DeltaTable(shops.gold).version() == version


def test_another_column_behind_a_name_is_another_definition(shop: Shop) -> None:
    shop.sell(("ann", "10:01", 4.0))
    rows = DeltaTable(shop.source).to_pyarrow_table()
    both = rows.append_column("discount", rows["price"])
    write_deltalake(shop.source, both, mode="overwrite", schema_mode="overwrite")
    shop.refresh("10:05")
    shop.refresh("10:06", columns={"shop": "store", "price": "price"})

    with pytest.raises(ConfigurationError, match="columns than its feature view declares"):
        shop.refresh("10:20", columns={"shop": "store", "price": "discount"})


def test_gold_follows_a_source_that_moves_but_not_that_of_another_project(shop: Shop) -> None:
    shop.sell(("ann", "10:01", 4.0))
    shop.refresh("10:05", project="fleet")
    assert shop.refresh("10:06", project="market").position.project == "fleet"

    shop.source += " elsewhere"
    shop.sell(("bob", "10:01", 8.0))
    with pytest.raises(ConfigurationError, match=r"belongs to project 'fleet'.*that of 'market' reads .*elsewhere"):
        shop.refresh("10:07", project="market")
    assert shop.refresh("10:07", project="fleet").appended


@pytest.mark.parametrize(
    ("column", "function", "dtype", "problem"),
    [
        ("store", "mean", pa.float64(), ConfigurationError),
        ("price", "mean", pa.int64(), ConfigurationError),
        ("price", "count", pa.bool_(), ConfigurationError),
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


@pytest.mark.parametrize("spark_from_rows", [0, 1_000])
def test_a_number_beyond_the_declared_type_is_refused_in_the_same_words_wherever_it_is_computed(
    shop: Shop, spark_from_rows: int
) -> None:
    shop.spark_from_rows = spark_from_rows
    shop.sell(("A", "10:01", 1e300))
    feature = WindowFeature("most", "price", "max", 1, pa.float32())
    view = WindowDefinition(VIEW.view, VIEW.keys, "sold_at", VIEW.slide, (feature,))

    with pytest.raises(InvalidDataError, match=r"'most', max of 'price', does not fit float: .* range\. Declare"):
        shop.refresh("10:05", view=view)


def test_a_naive_time_is_refused_with_its_column(shop: Shop) -> None:
    naive = pa.table({"store": ["A"], "sold_at": pa.array([datetime(2013, 3, 10)], pa.timestamp("us")), "price": [1.0]})
    write_deltalake(shop.source, naive)

    with pytest.raises(InvalidDataError, match="sold_at"):
        shop.refresh("10:05")


def test_a_missing_source_is_said_with_the_remedy(shop: Shop) -> None:
    with pytest.raises(MissingTableError, match="larder ingest"):
        shop.refresh("10:05")


def as_of(shops: Shop, shop: str, instant: datetime) -> tuple[int, float | None]:
    known = [row for row in shops.stored(shop) if row["known_at"] <= instant]
    latest = max(known, key=lambda row: (row["event_timestamp"], row["known_at"]))
    return latest["count_10m"], latest["mean_10m"]


def batch_run(sales: Iterable[Sale], shop: str, instant: datetime) -> tuple[int, float | None]:
    grid = datetime.fromtimestamp(instant.timestamp() // 300 * 300, tz=UTC)
    own = [(at(sold), price) for name, sold, price in sales if name == shop and price is not None]
    prices = [price for sold, price in own if grid - timedelta(minutes=10) < sold <= grid]
    return len(prices), sum(prices) / len(prices) if prices else None
