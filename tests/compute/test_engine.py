"""Feast's materialize through this engine: silver Delta -> gold Delta -> real Redis, in a project of its own."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake
from feast import FeatureStore
from feast.cli.cli import cli
from pyspark.sql import SparkSession

from larder.compute import materialize as materialization
from larder.compute.cli import features
from larder.compute.job import Materialized, unserved
from larder.contracts.errors import ConfigurationError, MissingTableError, OnlineStoreError
from larder.contracts.settings import Settings, load_settings
from larder.ledger import Act, ledger_of
from larder.offline.tables.gold import COMPACTION
from larder.offline.tables.kinds import INSTANT
from larder.online.server import embedded
from larder.online.server.connection import connect
from larder.spark import session
from tests.compute.project import CONFIGURATION

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")

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


@dataclass(frozen=True)
class Seen:
    """The result of one step of the history below: per view, and online afterwards."""

    results: dict[str, Materialized]
    online: dict[str, list[object]]
    """Shop -> revenue_10m, sales_10m, area."""


class Project:
    """A Feast project with windows over sales, and what one does with it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = materialization.apply_definitions(settings)

    def sell(self, *sales: tuple[str, str, float]) -> None:
        shops, clocks, prices = zip(*sales, strict=True)
        rows = {"store": shops, "sold_at": pa.array(map(at, clocks), INSTANT), "price": prices}
        write_deltalake(f"{self.settings.lake}/silver/sales", pa.table(rows), mode="append")

    def open_shops(self) -> None:
        rows = {"shop": ["A"], "opened_at": pa.array([at("00:00")], INSTANT), "area": [20.0]}
        write_deltalake(f"{self.settings.lake}/silver/shops", pa.table(rows))

    def materialized(self, until: str) -> dict[str, Materialized]:
        return {result.view: result for result in materialization.materialize(self.store, at(until), lambda _: None)}

    def feast(self, *arguments: str) -> None:
        """A plain Feast command."""
        result = CliRunner().invoke(cli, ["-c", str(self.settings.feature_repo), *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    def online(self, clock: str) -> dict[str, list[object]]:
        features = ["shop_sales:revenue_10m", "shop_sales:sales_10m", "shops:area"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LARDER_CLOCK", at(clock).isoformat())
            reader = FeatureStore(repo_path=str(self.settings.feature_repo))
            found = reader.get_online_features(features, [{"shop": "A"}, {"shop": "B"}]).to_dict()
        names = ("revenue_10m", "sales_10m", "area")
        return {shop: [found[name][row] for name in names] for row, shop in enumerate(found["shop"])}

    def seen(self, until: str, clock: str | None = None) -> Seen:
        return Seen(self.materialized(until), self.online(clock or until))


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch) -> Iterator[Project]:
    home = tmp_path_factory.mktemp("engine") / "my project"
    (home / "feature_repo").mkdir(parents=True)
    (home / "feature_repo" / "feature_store.yaml").write_text(CONFIGURATION)
    (home / "feature_repo" / "shopping.py").write_text(textwrap.dedent(DEFINITIONS))
    environment.setenv("LARDER_HOME", str(home))
    settings = load_settings()
    yield Project(settings)
    embedded.stop(settings)


@pytest.fixture(scope="module")
def history(project: Project, spark: SparkSession) -> dict[str, Seen]:
    """What was seen, step by step. One history for all tests: a refresh of gold takes seconds."""
    steps = {}
    with pytest.raises(MissingTableError) as problem:
        project.materialized("10:12")
    assert "larder ingest" in str(problem.value)

    project.sell(("A", "10:01", 4.0), ("A", "10:03", 8.0), ("B", "10:08", 1.0))
    project.open_shops()
    steps["first"] = project.seen("10:12")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "spark_session", no_spark)
        steps["rerun"] = project.seen("10:12")
        connect(embedded.start(project.settings), timeout_seconds=5).flushall()
        steps["emptied"] = project.seen("10:12")

    project.sell(("A", "10:02", 16.0))
    steps["late"] = project.seen("10:14")
    steps["earlier"] = project.seen("10:00", clock="10:14")

    project.sell(("B", "10:21", 2.0))
    project.feast("materialize", at("10:00").isoformat(), at("10:26").isoformat())
    steps["backfill"] = Seen({}, project.online("10:26"))
    return steps


def no_spark(*_: object, **__: object) -> SparkSession:
    raise AssertionError("Spark was started although gold is current")


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2013-03-10T{clock}:00+00:00")


def counts(results: dict[str, Materialized]) -> dict[str, tuple[int | None, int | None]]:
    return {name: (result.appended, result.pushed) for name, result in results.items()}


def test_materialize_brings_windows_through_gold_and_plain_views_directly_into_redis(history: dict[str, Seen]) -> None:
    assert counts(history["first"].results) == {"shop_sales": (2, 2), "shops": (None, 1)}
    assert history["first"].online == {"A": [12.0, 2, 20.0], "B": [1.0, 1, None]}


def test_a_rerun_writes_nothing_and_starts_no_spark(history: dict[str, Seen]) -> None:
    assert counts(history["rerun"].results) == {"shop_sales": (0, 0), "shops": (None, 0)}


def test_an_emptied_redis_is_filled_again_without_spark(history: dict[str, Seen]) -> None:
    assert counts(history["emptied"].results) == {"shop_sales": (0, 2), "shops": (None, 1)}
    assert history["emptied"].online == history["first"].online


def test_a_late_event_is_corrected_online_and_nobody_else_is_written(history: dict[str, Seen]) -> None:
    assert counts(history["late"].results) == {"shop_sales": (1, 1), "shops": (None, 0)}
    assert history["late"].online == {"A": [28.0, 3, 20.0], "B": [1.0, 1, None]}


def test_a_live_run_says_since_when_nothing_newer_could_be_served(history: dict[str, Seen]) -> None:
    since = {step: history[step].results["shop_sales"].live_since for step in ("first", "rerun", "late", "earlier")}

    assert since == {"first": None, "rerun": None, "late": at("10:12"), "earlier": None}


def test_days_without_a_run_are_pointed_out_and_hours_are_not() -> None:
    nightly = Materialized("shop_sales", at("10:00"), 1, 1, 0.1, live_since=at("10:00") - timedelta(hours=24))
    weekly = replace(nightly, view="weekly", live_since=at("10:00") - timedelta(days=7))
    backfill = replace(nightly, view="backfill", live_since=None)

    assert unserved([nightly, backfill]) == ""
    assert unserved([nightly, backfill, weekly]).startswith("weekly: 7.0 days passed")


def test_an_earlier_end_moves_nothing_back(history: dict[str, Seen]) -> None:
    assert "already holds 2013-03-10 10:14:00Z" in str(history["earlier"].results["shop_sales"])
    assert history["earlier"].online == history["late"].online


def test_feast_materialize_backfills_as_if_every_run_had_been_on_time(
    project: Project, history: dict[str, Seen]
) -> None:
    gold = DeltaTable(f"{project.settings.lake}/gold/shop_sales").to_pyarrow_table().to_pylist()

    assert history["backfill"].online == {"A": [None, 0, 20.0], "B": [2.0, 1, None]}
    assert sorted((row["event_timestamp"], row["known_at"]) for row in gold if row["shop"] == "B") == [
        (at("10:10"), at("10:10")),
        (at("10:20"), at("10:20")),
        (at("10:25"), at("10:25")),
    ]


def test_gold_is_compacted_after_feasts_own_command(project: Project, history: dict[str, Seen]) -> None:
    table = DeltaTable(f"{project.settings.lake}/gold/shop_sales")

    assert COMPACTION in [commit.get("userMetadata") for commit in table.history(1)]


def test_what_plain_feast_materialized_is_on_record_and_the_view_without_news_is_not(
    project: Project, history: dict[str, Seen]
) -> None:
    (entry,) = ledger_of(project.settings).entries()

    # What `materialized` did before it wrote no entries, as a run that was cut off.
    assert entry.outcome["views"]["shop_sales"]["unrecorded"] == 3
    assert (entry.act, list(entry.outcome["views"])) == (Act.FEATURES, ["shop_sales"])
    assert entry.inputs["events"]["shop_sales"]["table"] == f"{project.settings.lake}/silver/sales"


def test_a_run_after_one_that_was_cut_off_before_redis_is_no_backfill(
    project: Project, history: dict[str, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.sell(("A", "10:27", 2.0), ("A", "10:33", 3.0))
    monkeypatch.setenv("LARDER_REDIS", "redis://127.0.0.1:1/0")
    store = materialization.apply_definitions(load_settings())
    with pytest.raises(OnlineStoreError):
        store.materialize_incremental(at("10:30"), ["shop_sales"])
    monkeypatch.undo()

    project.materialized("10:40")

    rows = DeltaTable(f"{project.settings.lake}/gold/shop_sales").to_pyarrow_table().to_pylist()
    known = {(row["shop"], row["event_timestamp"]): row["known_at"] for row in rows}
    assert known["A", at("10:35")] == at("10:40")


def test_a_view_that_cannot_be_brought_up_keeps_no_other_from_it(
    project: Project, history: dict[str, Seen], tmp_path: Path
) -> None:
    project.sell(("A", "10:42", 4.0))
    shops = Path(f"{project.settings.lake}/silver/shops")
    shops.rename(tmp_path / "shops")
    try:
        run = CliRunner().invoke(features, ["--until", at("10:45").isoformat()], obj=project.settings)
    finally:
        (tmp_path / "shops").rename(shops)

    assert run.exit_code == 2 and "Error: shops: " in run.output
    assert project.online("10:45")["A"][1] == 1
    assert ledger_of(project.settings).entries(acts=(Act.FEATURES,))[-1].outcome["views"].keys() == {"shop_sales"}


def test_gold_of_other_windows_than_declared_is_told_of_at_apply_and_read_by_nobody(
    project: Project, history: dict[str, Seen], caplog: pytest.LogCaptureFixture
) -> None:
    file = project.settings.feature_repo / "shopping.py"
    declared = file.read_text()
    request = pa.table({"shop": ["A"], "event_timestamp": pa.array([at("10:26")], INSTANT)})
    try:
        file.write_text(declared.replace("timedelta(minutes=10)", "timedelta(minutes=20)"))
        caplog.clear()
        store = materialization.apply_definitions(project.settings)
        with pytest.raises(ConfigurationError, match="other windows"):
            store.get_historical_features(request, ["shop_sales:sales_10m"])
    finally:
        file.write_text(declared)
        store = materialization.apply_definitions(project.settings)

    told = [record.getMessage() for record in caplog.records if record.name == "larder.compute.engine"]
    assert len(told) == 1 and "'shop_sales' is registered, but" in told[0] and "a new name" in told[0]
    assert store.get_historical_features(request, ["shop_sales:sales_10m"]).to_arrow()["sales_10m"].to_pylist() == [0]


def test_gold_of_other_windows_than_declared_keeps_all_that_it_holds(
    project: Project, history: dict[str, Seen]
) -> None:
    for minute in (50, 55):
        project.sell(("A", f"10:{minute - 3}", 4.0))
        project.materialized(f"10:{minute}")
    table, file = f"{project.settings.lake}/gold/shop_sales", project.settings.feature_repo / "shopping.py"
    declared, before = file.read_text(), in_order(DeltaTable(table).to_pyarrow_table())
    try:
        file.write_text(declared.replace(', Statistic("price", "count", "sales", "Sales")', ""))
        run = CliRunner().invoke(features, ["--until", at("11:00").isoformat()], obj=project.settings)
    finally:
        file.write_text(declared)
        materialization.apply_definitions(project.settings)

    assert run.exit_code == 2 and "other windows" in run.output
    assert in_order(DeltaTable(table).to_pyarrow_table()) == before


def in_order(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in rows.column_names])


def test_a_folder_without_definitions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"feature_store\.yaml"):
        materialization.apply_definitions(load_settings({"LARDER_HOME": str(tmp_path)}))
