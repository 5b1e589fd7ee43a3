"""Facts that Feast's own stores get wrong, and that must be right here: FACTS 7 to 14, one after the other.

Each test gives the same tables and requests to this store as to Feast's, and asserts what Feast's does not do.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.events import EventSource
from larder.compute.push import push_latest
from larder.compute.refresh.gold import refresh_gold
from larder.compute.refresh.gold_files import FILES
from larder.contracts.settings import Settings, load_settings
from larder.offline import DeltaSource
from larder.online.server import embedded
from tests.offline.project import feature_store, write_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INSTANT = pa.timestamp("us", tz="UTC")


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2020-03-08T{clock}:00+00:00")


def sales(*rows: tuple[str, str, str, float]) -> pa.Table:
    """(shop, product, event timestamp, price)"""
    shops, products, clocks, prices = zip(*rows, strict=True)
    instants = pa.array([at(clock) for clock in clocks], INSTANT)
    return pa.table({"shop": shops, "product": products, "sold_at": instants, "price": prices})


def labels(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """(shop, product, instant of the label)"""
    frame = pd.DataFrame(rows, columns=["shop", "product", "clock"])
    return frame.assign(event_timestamp=[at(clock) for clock in frame.pop("clock")], label=range(len(frame)))


ENGINES = ["embedded", "spark"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    if request.param == "spark":
        request.getfixturevalue("spark")
    return str(request.param)


def store_of(
    folder: Path, *, engine: str = "embedded", ttl: timedelta | None = None, version: int | None = None
) -> FeatureStore:
    """A project whose view `sales` has the two join keys shop and product and reads the table `sales`."""
    store = feature_store(folder, engine=engine)
    entities = [Entity(name=f"the_{key}", join_keys=[key], value_type=ValueType.STRING) for key in ("shop", "product")]
    view = FeatureView(
        name="sales",
        entities=entities,
        ttl=ttl,
        source=DeltaSource(path="sales", timestamp_field="sold_at", version=version),
        schema=[Field(name=name, dtype=String) for name in ("shop", "product")] + [Field(name="price", dtype=Float64)],
    )
    store.apply([*entities, view])
    return store


def joined(store: FeatureStore, request: pd.DataFrame) -> pa.Table:
    return store.get_historical_features(request, features=["sales:price"]).to_arrow()


def prices(folder: Path, rows: pa.Table, request: pd.DataFrame, **view: Any) -> list[float | None]:
    """The price per label, after the check that labels came back as they were given."""
    write_table(folder, "sales", rows)
    found = joined(store_of(folder, **view), request)
    assert found["label"].to_pylist() == list(request["label"])
    values: list[float | None] = found["price"].to_pylist()
    return values


def test_fact_7_a_row_dated_in_the_future_answers_no_request_before_its_time(tmp_path: Path, engine: str):
    rows = sales(("a", "x", "10:00", 1.0), ("a", "x", "23:00", 99.0))

    assert prices(
        tmp_path, rows, labels(("a", "x", "10:30"), ("a", "x", "22:59"), ("a", "x", "23:00")), engine=engine
    ) == [1, 1, 99]


@pytest.fixture
def redis_settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings whose embedded Redis runs during the test."""
    settings = load_settings({"LARDER_HOME": str(tmp_path)})
    embedded.start(settings)
    yield settings
    embedded.stop(settings)


ONLINE = "larder.online.RedisOnlineStore"


def online_store_of(folder: Path, settings: Settings) -> FeatureStore:
    """The project of `store_of`, with Redis as its online store."""
    config = store_of(folder).config.model_copy()
    config.online_config = {"type": ONLINE, "connection_string": embedded.online_address(settings)}
    config._online_store = None
    return FeatureStore(config=config)


def online_prices(store: FeatureStore) -> list[float | None]:
    found: list[float | None] = store.get_online_features(["sales:price"], [{"shop": "a", "product": "x"}]).to_dict()[
        "price"
    ]
    return found


def test_fact_7_a_row_dated_in_the_future_does_not_keep_later_ones_from_redis(tmp_path: Path, redis_settings: Settings):
    write_table(tmp_path, "sales", sales(("a", "x", "10:00", 1.0), ("a", "x", "23:00", 99.0)))
    store, seen = online_store_of(tmp_path, redis_settings), []
    view = store.get_feature_view("sales")
    for clock, later in (("11:00", 2.0), ("12:00", 3.0)):
        push_latest(view, store.config, redis_settings, instant=at(clock))
        seen += online_prices(store)
        write_table(tmp_path, "sales", sales(("a", "x", clock, later)), mode="append")

    assert seen == [1.0, 2.0]


def test_fact_7_a_row_of_tomorrow_that_is_pushed_does_not_freeze_its_entity(
    tmp_path: Path, redis_settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LARDER_CLOCK", at("12:00").isoformat())
    store = online_store_of(tmp_path, redis_settings)
    row = pd.DataFrame({"shop": ["a"], "product": ["x"], "sold_at": [at("12:00")], "price": [1.0]})
    store.write_to_online_store("sales", row.assign(sold_at=at("12:00") + timedelta(days=1), price=99.0))
    store.write_to_online_store("sales", row)

    assert online_prices(store) == [1.0]


def test_fact_8_composite_keys_that_join_to_the_same_text_do_not_meet(tmp_path: Path, engine: str):
    rows = sales(("1", "23", "10:00", 5.0))

    assert prices(tmp_path, rows, labels(("12", "3", "11:00"), ("1", "23", "11:00")), engine=engine) == [None, 5.0]


SPRING = sales(("a", "x", "06:30", 1.0), ("a", "x", "07:30", 2.0))
NIGHT = [("a", "x", "06:45"), ("a", "x", "07:15"), ("a", "x", "08:30"), ("a", "x", "08:31")]
SPRING_PRICES = [1.0, 1.0, 2.0, None]
ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"]


@pytest.mark.parametrize("zone", ZONES)
def test_fact_9_values_within_their_ttl_do_not_depend_on_the_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
):
    """That night New York's clocks skip the hour from 07:00 UTC on."""
    request = labels(*NIGHT)
    try:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        request["event_timestamp"] = request["event_timestamp"].dt.tz_convert(zone)

        assert prices(tmp_path, SPRING, request, ttl=timedelta(hours=1)) == SPRING_PRICES
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("zone", ZONES)
def test_fact_9_values_within_their_ttl_do_not_depend_on_the_zone_of_the_spark_session(
    tmp_path: Path, spark: "SparkSession", engine: str, zone: str
):
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        assert prices(tmp_path, SPRING, labels(*NIGHT), ttl=timedelta(hours=1), engine=engine) == SPRING_PRICES
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)


def test_fact_9_a_process_in_another_time_zone_gives_the_same_answers(tmp_path: Path):
    write_table(tmp_path, "sales", SPRING)
    store_of(tmp_path, ttl=timedelta(hours=1))
    code = """
        from pathlib import Path
        from tests.offline.test_feast_defects import *
        print(joined(feature_store(Path(sys.argv[1])), labels(*NIGHT))["price"].to_pylist())
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", lines, str(tmp_path)],
        env=os.environ | {"TZ": "America/New_York"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.splitlines()[-1] == str(SPRING_PRICES)


def test_fact_10_rows_with_equal_timestamps_do_not_multiply_labels(tmp_path: Path, engine: str):
    rows = sales(*(("a", "x", "10:00", float(price)) for price in range(5)))
    request = labels(*(("a", "x", "11:00"),) * 3)

    assert prices(tmp_path, rows, request, engine=engine) == [4.0] * 3


def test_fact_11_labels_without_a_match_are_kept_in_their_place(tmp_path: Path, engine: str):
    rows = sales(("a", "x", "10:00", 1.0))
    request = labels(("none", "x", "11:00"), ("a", "x", "09:00"), ("a", "x", "11:00"), ("a", "x", "13:00"))

    assert prices(tmp_path, rows, request, ttl=timedelta(hours=2), engine=engine) == [None, None, 1.0, None]


def test_fact_12_ties_are_broken_the_same_way_whatever_the_files_and_their_order(tmp_path: Path, engine: str):
    request, store, answers = labels(("a", "x", "11:00")), store_of(tmp_path, engine=engine), []
    tied = [sales(("a", "x", "10:00", price)) for price in (0.1, 0.3, 0.2)]
    for order in (tied, tied[::-1], tied[1:] + tied[:1]):
        for files in (order, [pa.concat_tables(order)]):
            for number, file in enumerate(files):
                write_table(tmp_path, "sales", file, mode="append" if number else "overwrite")
            answers += joined(store, request)["price"].to_pylist()

    assert answers == [0.3] * 6


def test_fact_13_a_training_set_names_its_versions_and_comes_back_after_the_table_moved_on(tmp_path: Path, engine: str):
    place = write_table(tmp_path, "sales", sales(("a", "x", "10:00", 1.0)))
    request = labels(("a", "x", "11:00"))
    job = store_of(tmp_path, engine=engine).get_historical_features(request, features=["sales:price"])
    before = job.to_arrow()

    write_deltalake(place, sales(("a", "x", "10:30", 2.0)), mode="append")
    write_deltalake(place, sales(("a", "x", "10:45", 3.0)), mode="overwrite")

    assert job.versions == {place: 0}
    assert job.to_arrow().equals(before)
    assert joined(store_of(tmp_path, engine=engine, version=job.versions[place]), request).equals(before)
    assert joined(store_of(tmp_path, engine=engine), request)["price"].to_pylist() == [3.0]


SLIDE = timedelta(minutes=5)
WINDOWS = WindowDefinition(
    "shop_sales",
    {"shop": pa.string()},
    "sold_at",
    SLIDE // timedelta(microseconds=1),
    (
        WindowFeature("sum_10m", "price", "sum", 2, pa.float64()),
        WindowFeature("sum_20m", "price", "sum", 4, pa.float64()),
        WindowFeature("count_20m", "price", "count", 4, pa.int64()),
    ),
)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_fact_14_all_windows_of_a_view_slide_and_nothing_comes_to_the_driver(
    tmp_path: Path, spark: "SparkSession", monkeypatch: pytest.MonkeyPatch, zone: str
):
    source = write_table(tmp_path, "sales", sales(("a", "x", "06:52", 4.0), ("a", "x", "07:01", 8.0)))
    gold = str(tmp_path / "gold")
    frame = type(spark.range(1))
    for collecting in ("toPandas", "collect", "toLocalIterator", "take", "first"):
        monkeypatch.setattr(frame, collecting, lambda *_, name=collecting, **__: pytest.fail(name))
    collected, to_arrow = list[str](), frame.toArrow
    monkeypatch.setattr(frame, "toArrow", lambda rows: collected.extend(rows.columns) or to_arrow(rows))
    session_zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        events = EventSource(source)
        refresh_gold(lambda: spark, WINDOWS, events, gold, until=at("08:00"), is_live=False, spark_from_rows=0)
    finally:
        spark.conf.set("spark.sql.session.timeZone", session_zone)

    assert collected == FILES.names  # of each file its name and size
    rows = DeltaTable(gold).to_pyarrow_table().sort_by("event_timestamp").to_pylist()
    assert [
        (f"{r['event_timestamp'].astimezone(UTC):%H:%M}", r["sum_10m"], r["sum_20m"], r["count_20m"]) for r in rows
    ] == [
        ("06:55", 4.0, 4.0, 1),
        ("07:05", 8.0, 12.0, 2),
        ("07:15", None, 8.0, 1),
        ("07:25", None, None, 0),
    ]
