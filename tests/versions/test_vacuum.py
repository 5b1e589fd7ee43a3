import shutil
from pathlib import Path

import mlflow
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.contracts.errors import DependencyError, InvalidDataError
from larder.contracts.lineage import TABLES_TAG, encoded_tables
from larder.model_registry import ModelPins, model_pins, quiet_mlflow
from larder.offline.tables.delta_table import open_table
from larder.versions.commits import commits
from larder.versions.lock_file import LOCK_FILE, write_lock_file
from larder.versions.snapshot import snapshot
from larder.versions.vacuum import holders, planned, vacuum
from tests.versions.conftest import PANS


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    quiet_mlflow().MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(settings, empty_mlflow) -> mlflow.MlflowClient:
    settings.state.mkdir()
    shutil.copy(empty_mlflow, settings.state / "mlflow.db")
    return quiet_mlflow().MlflowClient(settings.mlflow)


def register(client: mlflow.MlflowClient, model: str, tables: str | None) -> str:
    """A registered model version whose run has the tag; its run id."""
    run = client.create_run("0", tags={} if tables is None else {TABLES_TAG: tables})
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    client.create_model_version(model, f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
    return str(run.info.run_id)


def readable(place: str) -> list[int]:
    tables = [open_table(place, version) for version in range(3)]
    return [table.version() for table in tables if not table.repair(dry_run=True)["files_removed"]]


def test_without_pins_only_the_latest_version_stays(settings, pans):
    done = vacuum(pans, {}, retention_hours=0)

    assert readable(pans) == [2]
    assert len(done.deleted) == 2 and done.kept == ()


def test_what_a_model_pins_stays_whole_and_the_rest_goes(settings, client, pans):
    register(client, "repairs", encoded_tables({PANS: 0}))
    held, unknown = holders(settings)

    done = vacuum(pans, held[pans], retention_hours=0)

    assert readable(pans) == [0, 2]
    assert [(kept.version, kept.holders, kept.trouble) for kept in done.kept] == [(0, ("model repairs/1",), "")]
    assert len(done.deleted) == 1 and unknown == []
    assert pa.table(open_table(pans, 0).scan())["pan"].to_pylist() == ["a", "b"]


def test_what_data_lock_pins_stays(settings, pans):
    write_lock_file(settings.home / LOCK_FILE, {PANS: snapshot(open_table(pans, 1), commits(pans))})

    vacuum(pans, holders(settings)[0][pans], retention_hours=0)

    assert readable(pans) == [0, 1, 2], "version 0 is a part of version 1"


def test_a_dry_run_names_the_same_files_and_deletes_none(settings, pans):
    plan = planned(pans, {0: ("data.lock",)}, retention_hours=0)

    assert readable(pans) == [0, 1, 2] and DeltaTable(pans).version() == 2
    assert vacuum(pans, {0: ("data.lock",)}, retention_hours=0) == plan


def test_nothing_to_delete_writes_no_commit(settings, pans):
    assert vacuum(pans, {}, retention_hours=None).deleted == ()
    assert DeltaTable(pans).version() == 2


def test_files_below_folders_with_odd_names_are_kept_and_deleted_once(tmp_path):
    place = str(tmp_path / "odd name")
    odd = pa.table({"k": ["a b", "c%d", "e/f", "ü", "x=y"], "v": [1, 2, 3, 4, 5]})
    for count in (5, 4, 3):
        write_deltalake(place, odd.slice(0, count), partition_by=["k"], mode="overwrite")

    assert len(vacuum(place, {0: ("data.lock",)}, retention_hours=0).deleted) == 4

    assert readable(place) == [0, 2]
    assert pa.table(open_table(place, 0).scan()).num_rows == 5
    assert len(vacuum(place, {}, retention_hours=0).deleted) == 5
    assert vacuum(place, {}, retention_hours=0).deleted == ()
    assert readable(place) == [2]


def test_what_is_lost_already_is_said_with_whom_it_breaks(settings, pans):
    DeltaTable(pans).vacuum(0, dry_run=False, enforce_retention_duration=False)

    kept = planned(pans, {0: ("model repairs/1",), 99: ("data.lock",)}, retention_hours=0).kept

    assert [(item.version, item.is_lost) for item in kept] == [(0, False), (99, True)]
    assert "Version 0 of" in kept[0].trouble and "no version 99" in kept[1].trouble


def test_a_plan_that_would_take_a_pinned_file_is_refused(settings, pans, monkeypatch):
    monkeypatch.setattr("larder.versions.vacuum._keep", lambda kept: None)

    with pytest.raises(InvalidDataError, match="which a pinned version needs; nothing was deleted"):
        vacuum(pans, {0: ("data.lock",)}, retention_hours=0)
    assert readable(pans) == [0, 1, 2]


def test_models_of_other_makers_and_of_older_releases(settings, client):
    register(client, "foreign", None)
    register(client, "old", "{'silver/pans': 0, 's3://b/t': 3}")

    assert model_pins(settings) == [ModelPins("old/1", {PANS: 0, "s3://b/t": 3})]


def test_a_damaged_tag_stops_the_vacuum(settings, client):
    register(client, "repairs", '{"silver/pans": "newest"}')

    with pytest.raises(InvalidDataError, match=r"run of repairs/1 has the tag larder.tables"):
        holders(settings)


def test_a_registered_model_whose_run_is_gone_is_named(settings, client, pans):
    run_id = register(client, "repairs", encoded_tables({PANS: 0}))
    import sqlite3

    with sqlite3.connect(settings.state / "mlflow.db") as database:
        for table in ("tags", "runs"):
            database.execute(f"delete from {table} where run_uuid = ?", (run_id,))

    held, unknown = holders(settings)

    assert (held, unknown) == ({}, ["repairs/1"])


def test_without_mlflow_there_is_no_model_and_no_database_is_made(settings):
    assert model_pins(settings) == []
    assert not settings.state.exists()


def test_an_mlflow_out_of_reach_stops_the_vacuum(settings, monkeypatch):
    from dataclasses import replace

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(DependencyError, match="what its models pin is unknown"):
        holders(replace(settings, mlflow="http://127.0.0.1:1"))
