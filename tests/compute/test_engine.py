"""Feast's materialize through this engine: silver Delta -> gold Delta -> real Redis, in a project of its own."""

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import FeatureStore
from pyspark.sql import SparkSession

from larder.compute import materialize as materialization
from larder.compute import session
from larder.compute.definition import INSTANT
from larder.compute.job import Materialized
from larder.contracts.errors import ConfigurationError, MissingTableError
from larder.contracts.settings import Settings, load_settings
from larder.online import embedded
from larder.online.connection import connect

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")

CONFIGURATION = """
    project: shops
    provider: local
    registry: {registry_type: sql, path: "sqlite:///registry.db?plugin=larder"}
    offline_store: {type: larder.offline.DeltaOfflineStore}
    online_store: {type: larder.online.RedisOnlineStore}
    batch_engine: {type: larder.compute.SparkFeatureEngine}
    entity_key_serialization_version: 3
    """
DEFINITIONS = """
    from datetime import timedelta

    from feast import Entity, FeatureView, Field, PushSource, StreamFeatureView
    from feast.types import Float64, String
    from feast.value_type import ValueType

    from larder.compute import Statistic, windowed
    from larder.offline import DeltaSource

    shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
    sales = DeltaSource(name="sales", path="silver/sales", timestamp_field="sold_at", field_mapping={"store": "shop"})
    shop_sales = StreamFeatureView(
        name="shop_sales", entities=[shop], ttl=timedelta(days=1), timestamp_field="sold_at",
        source=PushSource(name="sales_push", batch_source=sales),
        **windowed(
            [Statistic("price", "sum", "revenue", "Revenue, euro"), Statistic("price", "count", "sales", "Sales")],
            {"10m": timedelta(minutes=10)}, every=timedelta(minutes=5), keys=[shop],
        ),
    )
    shops = FeatureView(
        name="shops", entities=[shop], ttl=timedelta(0),
        schema=[Field(name="shop", dtype=String), Field(name="area", dtype=Float64)],
        source=DeltaSource(name="shops_source", path="silver/shops", timestamp_field="opened_at"),
    )
    """


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> Iterator[Settings]:
    home = tmp_path / "my project"
    (home / "feature_repo").mkdir(parents=True)
    (home / "feature_repo" / "feature_store.yaml").write_text(textwrap.dedent(CONFIGURATION))
    (home / "feature_repo" / "shopping.py").write_text(textwrap.dedent(DEFINITIONS))
    monkeypatch.setenv("LARDER_HOME", str(home))
    settings = load_settings()
    yield settings
    embedded.stop(settings)


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2013-03-10T{clock}:00+00:00")


def sell(settings: Settings, *sales: tuple[str, str, float]) -> None:
    shops, clocks, prices = zip(*sales, strict=True)
    rows = {"store": shops, "sold_at": pa.array(map(at, clocks), INSTANT), "price": prices}
    write_deltalake(f"{settings.lake}/silver/sales", pa.table(rows), mode="append")


def open_shops(settings: Settings) -> None:
    rows = {"shop": ["A"], "opened_at": pa.array([at("00:00")], INSTANT), "area": [20.0]}
    write_deltalake(f"{settings.lake}/silver/shops", pa.table(rows))


def materialized(store: FeatureStore, until: datetime) -> dict[str, Materialized]:
    return {result.view: result for result in materialization.materialize(store, until, lambda result: None)}


def online(
    store: FeatureStore, settings: Settings, shop: str, clock: str, monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    monkeypatch.setenv("LARDER_CLOCK", at(clock).isoformat())
    reader = FeatureStore(repo_path=str(settings.feature_repo))
    features = ["shop_sales:revenue_10m", "shop_sales:sales_10m", "shops:area"]
    row = reader.get_online_features(features, [{"shop": shop}]).to_dict()
    return [row[name][0] for name in ("revenue_10m", "sales_10m", "area")]


def test_materialize_fills_gold_and_redis_and_a_rerun_starts_no_spark(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(project, ("A", "10:01", 4.0), ("A", "10:03", 8.0), ("B", "10:08", 1.0))
    open_shops(project)
    store = materialization.apply_definitions(project)

    first = materialized(store, at("10:12"))

    assert (first["shop_sales"].appended, first["shop_sales"].pushed) == (2, 2)
    assert (first["shops"].appended, first["shops"].pushed) == (None, 1)
    assert online(store, project, "A", "10:12", monkeypatch) == [12.0, 2, 20.0]

    monkeypatch.setattr(session, "spark_session", no_spark)
    again = materialized(store, at("10:12"))
    assert [(view.appended, view.pushed) for view in again.values()] == [(0, 0), (None, 0)]


def no_spark(*_: object, **__: object) -> SparkSession:
    raise AssertionError("Spark was started although gold is current")


def test_late_events_reach_redis_and_an_earlier_end_moves_nothing_back(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(project, ("A", "10:01", 4.0))
    open_shops(project)
    store = materialization.apply_definitions(project)
    materialized(store, at("10:06"))
    sell(project, ("A", "10:02", 8.0))

    materialized(store, at("10:07"))

    assert online(store, project, "A", "10:07", monkeypatch) == [12.0, 2, 20.0]
    earlier = materialized(store, at("10:00"))
    assert "already holds 2013-03-10 10:07:00Z" in str(earlier["shop_sales"])
    assert online(store, project, "A", "10:07", monkeypatch) == [12.0, 2, 20.0]
    known = DeltaTable(f"{project.lake}/gold/shop_sales").to_pyarrow_table()["known_at"].to_pylist()
    assert sorted(known) == [at("10:05"), at("10:07")]


def test_an_emptied_redis_is_filled_again(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(project, ("A", "10:01", 4.0))
    open_shops(project)
    store = materialization.apply_definitions(project)
    materialized(store, at("10:06"))
    connect(embedded.start(project), timeout_seconds=5).flushall()

    assert materialized(store, at("10:06"))["shop_sales"].pushed == 1
    assert online(store, project, "A", "10:06", monkeypatch) == [4.0, 1, 20.0]


def test_a_missing_silver_table_is_said_with_the_remedy(project: Settings) -> None:
    store = materialization.apply_definitions(project)

    with pytest.raises(MissingTableError, match="silver/sales"):
        materialized(store, datetime(2013, 3, 10, tzinfo=UTC))


def test_a_folder_without_definitions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"feature_store\.yaml"):
        materialization.apply_definitions(load_settings({"LARDER_HOME": str(tmp_path)}))
