"""Windows over all events, of no entity in particular: one value at each instant."""

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake
from feast import FeatureStore
from pyspark.sql import SparkSession

from larder.compute.declaration import window_definition
from larder.compute.events import EventSource
from larder.compute.materialize import apply_definitions, materialize
from larder.compute.refresh import on_spark as refresh_on_spark
from larder.compute.refresh.gold import refresh_gold
from larder.contracts.settings import Settings, load_settings
from larder.leakage.views import AT, view_joins
from larder.offline.tables.kinds import INSTANT
from larder.online.planning import feature_plan
from larder.online.server import embedded
from larder.verify.cli import verify
from tests.compute.project import CONFIGURATION

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")

DEFINITIONS = """
    from datetime import timedelta

    from feast import FeatureService, PushSource, StreamFeatureView

    from larder.compute import Statistic, windowed
    from larder.offline import DeltaSource

    sales = DeltaSource(
        name="sales", path="silver/sales", timestamp_field="sold_at", created_timestamp_column="loaded_at",
    )
    all_sales = StreamFeatureView(
        name="all_sales", entities=[], ttl=timedelta(days=1), timestamp_field="sold_at",
        source=PushSource(name="sales_push", batch_source=sales),
        **windowed(
            [Statistic("price", "sum", "revenue", "Revenue, euro"), Statistic("price", "count", "sales", "Sales")],
            {"10m": timedelta(minutes=10)}, every=timedelta(minutes=5), keys=[],
        ),
    )
    service = FeatureService(name="shopping", features=[all_sales])
    """
MIDNIGHT = datetime(2013, 3, 10, tzinfo=UTC)
UNTIL = MIDNIGHT + timedelta(hours=12)
SLIDE = timedelta(minutes=5)
_DRAWN = Random(7)
SALES = [(MIDNIGHT + timedelta(seconds=_DRAWN.randrange(12 * 3600)), float(_DRAWN.randrange(100))) for _ in range(300)]
ASKED = [MIDNIGHT + timedelta(minutes=11, seconds=_DRAWN.randrange(11 * 3600)) for _ in range(200)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("all")
    (home / "feature_repo").mkdir()
    (home / "feature_repo" / "feature_store.yaml").write_text(CONFIGURATION)
    (home / "feature_repo" / "shopping.py").write_text(textwrap.dedent(DEFINITIONS))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LARDER_HOME", str(home))
        environment.setenv("LARDER_CLOCK", UNTIL.isoformat())
        settings = load_settings()
        yield settings
        embedded.stop(settings)


@pytest.fixture(scope="module")
def store(project: Settings) -> FeatureStore:
    """Filled by two runs, the second with sales that the first had missed."""
    store = apply_definitions(project)
    for sales, until in ((SALES[:200], UNTIL - timedelta(hours=6)), (SALES[200:], UNTIL)):
        times = pa.array([at for at, _ in sales], INSTANT)
        rows = {"sold_at": times, "price": [price for _, price in sales], "loaded_at": times}
        write_deltalake(f"{project.lake}/silver/sales", pa.table(rows), mode="append")
        materialize(store, until, lambda _: None)
    return store


def truth(at: datetime) -> tuple[float | None, int]:
    """Revenue and sales of the ten minutes before the last grid instant."""
    instant = MIDNIGHT + (at - MIDNIGHT) // SLIDE * SLIDE
    prices = [price for sold_at, price in SALES if instant - 2 * SLIDE < sold_at <= instant]
    return (sum(prices) if prices else None), len(prices)


def found(rows: pa.Table) -> list[tuple[float | None, int]]:
    return list(zip(rows["revenue_10m"].to_pylist(), rows["sales_10m"].to_pylist(), strict=True))


def test_online_and_history_hold_the_value_of_all_sales(project: Settings, store: FeatureStore) -> None:
    requests = pa.table({"event_timestamp": pa.array([UNTIL], INSTANT)})
    history = store.get_historical_features(requests, store.get_feature_service("shopping")).to_arrow()
    online = store.get_online_features(["all_sales:revenue_10m", "all_sales:sales_10m"], [{}]).to_dict()

    assert found(history) == [truth(UNTIL)]
    assert (online["revenue_10m"], online["sales_10m"]) == ([truth(UNTIL)[0]], [truth(UNTIL)[1]])
    assert CliRunner().invoke(verify, [], obj=project).exit_code == 0


def test_leakage_knows_what_was_known(store: FeatureStore) -> None:
    view = store.get_stream_feature_view("all_sales")

    joins = view_joins(view, store.config, pa.table({AT: pa.array(ASKED, INSTANT)}), {"sales": "loaded_at"})

    assert found(joins.known_time) == [truth(at) for at in ASKED]


def test_all_rows_meet_in_one_task_of_spark_however_many_there_are(
    project: Settings, store: FeatureStore, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_on_spark, "ROWS_PER_TASK", 20)
    definition = window_definition(store.get_stream_feature_view("all_sales"))
    source, gold = EventSource(f"{project.lake}/silver/sales"), str(tmp_path / "gold")

    refresh_gold(lambda: spark, definition, source, gold, until=UNTIL, is_live=False, spark_from_rows=0)

    rows = DeltaTable(gold).to_pyarrow_table()
    assert found(rows) == [truth(at) for at in rows["event_timestamp"].to_pylist()]
    assert len(set(rows["event_timestamp"].to_pylist())) == rows.num_rows > 100


def test_a_plan_of_the_service_asks_for_no_key(store: FeatureStore) -> None:
    plan = feature_plan(store, "shopping")

    assert plan.request == () and {column.name for column in plan.columns} == {"revenue_10m", "sales_10m"}
