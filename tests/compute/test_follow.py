"""`larder features --follow` brings each view up at each grid instant, and outlives what goes wrong."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from rich.console import Console

from larder.compute import cli, engine, follow
from larder.compute.follow import grid_instants
from larder.compute.materialize import apply_definitions
from larder.contracts.errors import OnlineStoreError
from larder.contracts.settings import Settings, environment_of, load_settings
from larder.ledger import Act, ledger_of
from larder.offline.tables.gold import COMPACTION
from larder.online.contents import stored_records
from larder.online.server import embedded
from larder.online.server.connection import connect
from tests.compute.project import CONFIGURATION

DEFINITIONS = """
from datetime import timedelta
from feast import Aggregation, Entity, Field, PushSource, StreamFeatureView, ValueType
from feast.types import Int64, String
from larder.offline import DeltaSource

shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
sales = DeltaSource(name="sales", path="silver/sales", timestamp_field="sold_at")
second = timedelta(seconds=1)
counts = StreamFeatureView(
    name="counts", entities=[shop], ttl=timedelta(days=1), timestamp_field="sold_at",
    source=PushSource(name="sales_push", batch_source=sales),
    aggregations=[Aggregation("price", "count", timedelta(hours=1), second, "count_1h")],
    schema=[Field(name="shop", dtype=String), Field(name="count_1h", dtype=Int64)],
)
"""
SECONDS_TO_WAIT = 90


@dataclass(frozen=True)
class Project:
    settings: Settings
    log: Path

    def sell(self, shop: str, *, ago: timedelta = timedelta()) -> None:
        sold_at = pa.array([datetime.now(UTC) - ago], pa.timestamp("us", "UTC"))
        rows = pa.table({"shop": [shop], "sold_at": sold_at, "price": [1.0]})
        write_deltalake(f"{self.settings.lake}/silver/sales", rows, mode="append")

    def has(self, shop: str) -> bool:
        key = f"larder:5:shops:6:counts:{{s{len(shop)}:{shop}}}".encode()
        return stored_records(connect(embedded.start(self.settings)), [key]) != [None]

    def says(self, text: str) -> bool:
        return text in self.log.read_text()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Project]:
    """A project that is followed, with a first sale online."""
    repo, log = tmp_path / "feature_repo", tmp_path / "follow.log"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(CONFIGURATION)
    (repo / "live.py").write_text(DEFINITIONS)
    settings = replace(load_settings({"LARDER_HOME": str(tmp_path)}), replay_at=None)
    project = Project(settings, log)
    project.sell("first")
    command = [sys.executable, "-m", "larder", "features", "--follow"]
    with (
        log.open("wb") as target,
        subprocess.Popen(command, stdout=target, stderr=target, env=environment_of(settings), cwd=tmp_path) as process,
    ):
        try:
            wait_until(lambda: project.says("Following the grid of 0:00:01") or process.poll() is not None)
            wait_until(lambda: project.has("first"))
            yield project
            assert process.poll() is None
        finally:
            process.terminate()
            embedded.stop(settings)


def test_a_new_event_reaches_redis_without_another_command_also_after_a_failure(followed: Project):
    followed.sell("second")
    wait_until(lambda: followed.has("second"))

    version = DeltaTable(f"{followed.settings.lake}/silver/sales").version()
    broken = Path(followed.settings.lake) / "silver" / "sales" / "_delta_log" / f"{version + 1:020}.json"
    broken.touch()
    wait_until(lambda: followed.says("is damaged"))
    broken.unlink()
    followed.sell("third")
    wait_until(lambda: followed.has("third"))

    assert followed.says("counts: ")
    gold = f"{followed.settings.lake}/gold/counts"
    wait_until(lambda: any(commit.get("userMetadata") == COMPACTION for commit in DeltaTable(gold).history()))


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
@pytest.mark.parametrize("failure", [OnlineStoreError("Redis is away"), OSError("the lake is out of reach")])
def test_rows_that_a_failing_instant_brought_to_gold_are_on_record_after_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: Exception
):
    (tmp_path / "feature_repo").mkdir()
    (tmp_path / "feature_repo" / "feature_store.yaml").write_text(CONFIGURATION)
    (tmp_path / "feature_repo" / "live.py").write_text(DEFINITIONS)
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    settings = replace(load_settings(), replay_at=None)
    Project(settings, tmp_path / "no.log").sell(
        "first", ago=timedelta(minutes=1)
    )  # an instant of the grid lies between
    store = apply_definitions(settings)

    def instants(*_: Any) -> Iterator[None]:
        with monkeypatch.context() as broken:
            broken.setattr(engine, "push_latest", lambda *_, **__: (_ for _ in ()).throw(failure))
            yield
        yield

    monkeypatch.setattr(follow, "grid_instants", instants)
    try:
        cli._follow(store, settings, Console(width=200))
    finally:
        embedded.stop(settings)

    assert str(failure) in capsys.readouterr().out
    (entry,) = ledger_of(settings).entries(acts=(Act.FEATURES,))
    written = entry.outcome["views"]["counts"]
    assert written["unrecorded"] == written["rows"] - written["appended"] > 0


def test_a_clock_that_stands_cannot_be_followed(tmp_path: Path):
    settings = replace(load_settings({"LARDER_HOME": str(tmp_path)}), replay_at=datetime(2024, 1, 1, tzinfo=UTC))
    command = [sys.executable, "-m", "larder", "features", "--follow"]

    refused = subprocess.run(command, env=environment_of(settings), capture_output=True, text=True, check=False)

    assert refused.returncode == 2
    assert "unset LARDER_CLOCK" in refused.stderr


def test_instants_that_pass_during_the_work_are_one():
    start, slept = datetime(2024, 5, 1, tzinfo=UTC), list[float]()
    clock = iter(start + timedelta(seconds=second) for second in (0.5, 10.25, 34, 40))

    instants = grid_instants(timedelta(seconds=10), lambda: next(clock), slept.append)
    for _ in range(4):
        next(instants)

    assert slept == [9.5, 9.75, 6.0, 10.0]
