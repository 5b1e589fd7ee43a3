"""`larder erase` as a user calls it: one buyer of a small shop, in tables and in Redis."""

from pathlib import Path

import click
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import FeatureService
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from larder.contracts.errors import BusyError, LarderError
from larder.contracts.settings import Settings
from larder.erasure.online import OnlineRecords
from larder.erasure.raw_files import erased_files
from larder.ledger import Act, ledger_of
from larder.lock import only_one
from larder.offline import DeltaLoggingDestination, DeltaSource
from larder.versions.lock_file import write_lock_file
from larder.versions.snapshot import snapshot
from serving.log.spool import Spool
from tests.erasure.conftest import Erase
from tests.online.rows import at
from tests.verify.shop import Shop, visits_view


def users(table: Path, column: str = "user") -> list[str]:
    return sorted(DeltaTable(str(table)).to_pyarrow_table()[column].to_pylist())


def test_one_user_goes_from_tables_and_redis_and_nobody_else(larder_erase: Erase, shop: Shop, settings: Settings):
    larder_erase("user=b", "--alias", "user=customer", "--yes")

    assert users(shop.table) == ["a", "c"]
    assert users(Path(settings.lake) / "orders", "customer") == ["c"]
    assert shop.online("a", "b", "c") == {"a": 1.0, "c": 1.0}
    assert shop.compared(1).different == 0


def test_nobody_comes_back_with_the_next_materialization(larder_erase: Erase, shop: Shop):
    larder_erase("user=b", "--yes")

    shop.append(("a", 1, 1, 2.0))
    shop.materialize(2)

    assert shop.online("a", "b", "c") == {"a": 2.0, "c": 1.0}


def test_the_ledger_tells_of_it_without_naming_the_user(larder_erase: Erase, settings: Settings, shop: Shop):
    shop.append(("bob-77", 0, 0, 1.0))

    larder_erase("user=bob-77", "--yes", "--reason", "request 17")

    ledger = ledger_of(settings)
    begun, done = ledger.entries(acts=(Act.ERASURE,))
    assert (begun.reason, done.reason) == ("Begun: request 17", "Done: request 17")
    assert begun.inputs == {"keys": ["user"], "tables": {"visits": 1}, "online": {}}
    assert done.outcome["tables"] == {"visits": {"version": DeltaTable(str(shop.table)).version()}}
    assert "bob-77" not in ledger.path.read_text() and ledger.problem() is None


def test_ingestion_is_told_which_raw_files_must_not_come_back(larder_erase: Erase, settings: Settings):
    raw = pa.table({"user": ["b", "c"], "source_file": ["b.csv", "c.csv"], "content_hash": ["hash of b", "hash of c"]})
    write_deltalake(f"{settings.lake}/bronze/visits", raw)

    larder_erase("user=b", "--yes")

    assert erased_files(ledger_of(settings)) == {"hash of b"}


def test_answers_that_wait_in_the_spool_are_told(larder_erase: Erase, settings: Settings):
    assert "spool" not in larder_erase("user=b", "--dry-run").output
    spool = Spool(settings.state / "spool" / "visits")
    spool.append(b"of b", b"", 1)

    assert "Answers of a server wait in the spool" in larder_erase("user=b", "--dry-run").output


def test_a_dry_run_and_a_no_change_nothing(larder_erase: Erase, shop: Shop, settings: Settings):
    before = DeltaTable(str(shop.table)).version()

    shown = larder_erase("user=b", "--dry-run").output
    with pytest.raises(click.Abort):
        larder_erase("user=b", answer="n\n")

    assert "visits" in shown and "No column for it" in shown and "orders" in shown
    assert DeltaTable(str(shop.table)).version() == before and set(shop.online("b")) == {"b"}
    assert ledger_of(settings).entries(acts=(Act.ERASURE,)) == []


def test_who_pins_the_old_versions_is_named_before_they_go(larder_erase: Erase, shop: Shop, settings: Settings):
    table = DeltaTable(str(shop.table))
    from larder.versions.commits import commits

    write_lock_file(settings.home / "data.lock", {"visits": snapshot(table, commits(str(shop.table)))})

    assert (
        "Cannot be rebuilt afterwards, for the old versions go: data.lock" in larder_erase("user=b", "--dry-run").output
    )
    assert "Cannot be rebuilt" not in larder_erase("user=nobody", "--dry-run").output


def test_a_second_time_there_is_nothing_to_erase(larder_erase: Erase, settings: Settings):
    larder_erase("user=b", "--yes")

    assert "There is nothing to erase" in larder_erase("user=b", "--yes").output
    assert len(ledger_of(settings).entries(acts=(Act.ERASURE,))) == 2


def test_an_end_that_was_not_recorded_is_when_the_command_runs_again(larder_erase: Erase, settings: Settings):
    ledger = ledger_of(settings)
    ledger.append(Act.ERASURE, "erasure", at=settings.clock(), reason="Begun: request 17")

    larder_erase("user=nobody", "--dry-run")
    for _ in range(2):
        larder_erase("user=nobody", "--yes", "--reason", "request 17.")

    _, done = ledger.entries(acts=(Act.ERASURE,))
    assert done.reason == "Done: request 17. Nothing was left."


def test_after_a_kill_between_tables_and_redis_the_same_command_ends_it(
    larder_erase: Erase, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(OnlineRecords, "delete", killed)
        with pytest.raises(Killed):
            larder_erase("user=b", "--yes")
    assert set(shop.online("b")) == {"b"}

    larder_erase("user=b", "--yes")

    assert shop.online("b") == {} and users(shop.table) == ["a", "c"]


def test_tables_outside_the_lake_that_only_the_registry_names_are_looked_through(
    larder_erase: Erase, shop: Shop, tmp_path: Path
):
    """Events of windows, logs and saved datasets are read by no view; a source may have no table yet."""
    events, logs, kept = (str(tmp_path / name) for name in ("events", "logs", "kept.parquet"))
    for place in (events, logs):
        write_deltalake(place, pa.table({"user": ["b", "c"]}))
    sources = [DeltaSource(path=path, timestamp_field="event_timestamp") for path in (events, "not/yet")]
    logging = LoggingConfig(DeltaLoggingDestination(path=logs))
    shop.store.apply([*sources, FeatureService(name="score", features=[visits_view()], logging_config=logging)])
    job = shop.store.get_historical_features(
        pd.DataFrame({"user": ["b"], "event_timestamp": [at(1)]}), features=["visits:score"]
    )
    shop.store.create_saved_dataset(job, name="kept", storage=SavedDatasetFileStorage(path=kept))

    said = larder_erase("user=b", "--yes").output

    assert users(Path(events)) == ["c"] and users(Path(logs)) == ["c"]
    assert f"not looked at: {kept}" in said


def test_an_online_store_that_is_not_ours_is_named_and_the_tables_are_erased(
    larder_erase: Erase, shop: Shop, settings: Settings
):
    path = settings.feature_repo / "feature_store.yaml"
    path.write_text(path.read_text().replace("larder.online.RedisOnlineStore", "sqlite"))

    said = larder_erase("user=b", "--yes").output

    assert "Not kept by Larder, so not looked at: online store sqlite" in said
    assert users(shop.table) == ["a", "c"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["customer=b"], r"'customer' is no join key .* its join keys are \['user'\]"),
        (["user=b", "--alias", "shop=x"], "'shop' is no join key"),
        (["user"], "'user' is not of the form KEY=VALUE"),
        (["user="], "not of the form KEY=VALUE"),
        (["user=b", "--table", "nowhere"], "There is no Delta table at .*nowhere"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_deleted(
    larder_erase: Erase, shop: Shop, arguments: list[str], says: str
):
    with pytest.raises((LarderError, click.BadParameter), match=says):
        larder_erase(*arguments, "--yes")

    assert users(shop.table) == ["a", "b", "c"]


def test_it_waits_for_no_ingestion_but_says_that_one_is_running(larder_erase: Erase, settings: Settings):
    with only_one(settings.state / "ingest.lock", "ingestion"), pytest.raises(BusyError, match="Another ingestion"):
        larder_erase("user=b", "--yes")
