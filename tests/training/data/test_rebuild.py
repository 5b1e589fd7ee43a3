"""A training set comes back from its run, whatever happened to the tables since."""

from dataclasses import replace
from datetime import timedelta

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake
from feast import FeatureService

import larder.registry
import training.cli
from larder.contracts.errors import DifferenceError, InvalidDataError, MissingTableError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT, Lake
from larder.versions.vacuum import holders, vacuum
from tests.training.shop import END, SPLIT, shop_objective, shop_rows, write_shop
from training.data.rebuild import rebuild
from training.data.training_set import TrainingData, training_data, training_set
from training.models.tracking import load_record
from training.training_run import train

MODEL = "repairs"
OBJECTIVE = shop_objective(references={}, gates=())


@pytest.fixture
def trained(store, settings) -> str:
    """The run of a model that was trained on version 0 of labels and features."""
    write_shop(settings, shop_rows(300, SPLIT - timedelta(days=1), seed=1))
    data = training_set(store, settings, OBJECTIVE, service=MODEL)
    return train(settings, OBJECTIVE, data, model=MODEL).version.run_id


def rows(store, settings) -> TrainingData:
    return training_data(store, settings, service=MODEL)


def move_tables_on(settings) -> None:
    """New labels and features, both overwritten, so that nothing of version 0 is in the latest."""
    lake, rows = Lake(settings.lake), shop_rows(200, SPLIT - timedelta(hours=9), seed=9)
    labels = rows.select(["pan", "shop", EVENT_TIMESTAMP, KNOWN_AT, "came_back"])
    write_deltalake(lake.labels("repairs"), labels, mode="overwrite")
    pans = rows.select(["pan", "age_years", "weight_kg", "metal"])
    pans = pans.append_column(EVENT_TIMESTAMP, rows[EVENT_TIMESTAMP]).append_column(KNOWN_AT, rows[EVENT_TIMESTAMP])
    write_deltalake(lake.silver("pans"), pans, mode="overwrite")


def test_the_rebuilt_rows_are_those_of_the_run(store, settings, trained):
    built = rebuild(load_record(settings, trained), rows(store, settings))

    assert built.is_identical
    assert built.data.lineage.tables == {"labels/repairs": 0, "silver/pans": 0}


def test_after_the_tables_moved_on_the_rows_are_the_same_still(store, settings, trained):
    before = training_set(store, settings, OBJECTIVE, service=MODEL)
    move_tables_on(settings)

    built = rebuild(load_record(settings, trained), rows(store, settings))

    assert built.is_identical
    assert built.data.train.equals(before.train) and built.data.test.equals(before.test)
    assert training_set(store, settings, OBJECTIVE, service=MODEL).lineage.data_hash != before.lineage.data_hash


def test_neither_todays_clock_nor_todays_training_file_counts(store, settings, trained):
    record = load_record(settings, trained)
    later = replace(settings, replay_at=END + timedelta(days=400))
    early = replace(settings, replay_at=SPLIT)

    assert (record.labels.split_at, record.labels.test_until, record.labels.known_by) == (SPLIT, END, END)
    assert record.labels.others == ("shop",)
    assert rebuild(record, rows(store, later)).is_identical and rebuild(record, rows(store, early)).is_identical


def test_after_a_vacuum_a_registered_model_is_rebuilt(store, settings, trained):
    move_tables_on(settings)
    held, _ = holders(settings)

    for name in ("labels/repairs", "silver/pans"):
        place = f"{settings.lake}/{name}"
        done = vacuum(place, held[place], retention_hours=0)
        assert [kept.holders for kept in done.kept] == [("model repairs/1",)]

    assert rebuild(load_record(settings, trained), rows(store, settings)).is_identical


@pytest.mark.parametrize("name", ["labels/repairs", "silver/pans"])
def test_after_a_foreign_vacuum_the_lost_version_is_named(store, settings, trained, name):
    move_tables_on(settings)
    place = f"{settings.lake}/{name}"
    assert DeltaTable(place).vacuum(0, dry_run=False, enforce_retention_duration=False)

    with pytest.raises(MissingTableError, match=f"Version 0 of {place} cannot be read any more"):
        rebuild(load_record(settings, trained), rows(store, settings))


def test_applying_the_same_definitions_again_changes_no_registry_hash(store, settings, trained):
    store.apply([store.get_entity("pan"), store.get_feature_view("pans"), store.get_feature_service("repairs")])

    record = load_record(settings, trained)

    assert rebuild(record, rows(store, settings)).data.lineage.registry_hash == record.lineage.registry_hash


def test_changed_definitions_are_named_as_the_probable_cause(store, settings, trained):
    pans = store.get_feature_view("pans")
    store.apply([FeatureService(name="repairs", features=[pans[["age_years", "metal"]]])])

    built = rebuild(load_record(settings, trained), rows(store, settings))

    assert not built.is_identical
    assert built.causes[0].startswith("the definitions behind feature service 'repairs' changed (registry hash ")


def test_changed_code_is_named_with_both_commits(store, settings, trained):
    record = load_record(settings, trained)
    record = replace(record, lineage=replace(record.lineage, commit="a" * 40, data_hash="other"))

    assert rebuild(record, rows(store, settings)).causes == [f"the code changed (commit {'a' * 40} then, none now)"]


def run_command(settings, store, monkeypatch, *arguments: str):
    monkeypatch.setattr(larder.registry, "feature_store", lambda *_: store)
    return CliRunner().invoke(
        training.cli.training_set_group, ["rebuild", *arguments], obj=settings, standalone_mode=False
    )


@pytest.mark.parametrize("name", ["run id", "repairs/1", "repairs@challenger"])
def test_the_command_prints_both_hashes(store, settings, trained, monkeypatch, name):
    done = run_command(settings, store, monkeypatch, trained if name == "run id" else name)

    hash_ = load_record(settings, trained).lineage.data_hash
    assert done.exit_code == 0
    assert f"logged   {hash_}" in done.output and f"rebuilt  {hash_}" in done.output


def test_the_command_refuses_rows_that_differ_and_still_writes_them(store, settings, trained, monkeypatch, tmp_path):
    move_tables_on(settings)
    client = mlflow.MlflowClient(settings.mlflow)
    client.set_tag(trained, "larder.tables", '{"labels/repairs": 1, "silver/pans": 1}')

    done = run_command(settings, store, monkeypatch, trained, "--output", str(tmp_path / "rows.parquet"))

    assert isinstance(done.exception, DifferenceError) and "Probable cause: " in str(done.exception)
    rows = pq.read_table(tmp_path / "rows.parquet")
    assert rows.num_rows == 200 - 6 and set(rows["part"].to_pylist()) == {"train", "test"}


def test_the_written_rows_are_those_of_training_in_order(store, settings, trained, monkeypatch, tmp_path):
    data = training_set(store, settings, OBJECTIVE, service=MODEL)

    run_command(settings, store, monkeypatch, trained, "--output", str(tmp_path / "new" / "rows.parquet"))

    rows = pq.read_table(tmp_path / "new" / "rows.parquet").drop_columns("part")
    assert rows.equals(pa.concat_tables([data.train, data.test]))


@pytest.mark.parametrize("name", ["0" * 32, "repairs/7", "repairs@nobody", "nothing/1"])
def test_a_run_that_mlflow_does_not_know_is_refused(settings, trained, name):
    with pytest.raises(MissingTableError, match=f"has no '{name}'"):
        load_record(settings, name)


def test_a_run_of_an_older_release_says_what_it_lacks(settings):
    client = mlflow.MlflowClient(settings.mlflow)
    run = client.create_run("0", tags={"larder.tables": "{'labels/repairs': 0}"}).info.run_id

    with pytest.raises(InvalidDataError, match=r"does not say 'label_table'.*Train again"):
        load_record(settings, run)


def test_without_mlflow_no_database_is_made(settings):
    (settings.state / "mlflow.db").unlink()

    with pytest.raises(MissingTableError, match="larder train"):
        load_record(settings, "repairs/1")
    assert not (settings.state / "mlflow.db").exists()


def test_rows_that_are_equal_up_to_their_label_have_one_order(store, settings):
    rows = shop_rows(40, SPLIT - timedelta(hours=3), seed=1)
    twins = rows.set_column(4, "came_back", pa.array([not label for label in rows["came_back"].to_pylist()]))
    hashes = set()
    for index, parts in enumerate(([rows, twins], [twins, rows])):
        lake = replace(settings, lake=f"{settings.lake}/{index}")
        write_shop(lake, pa.concat_tables(parts))
        data = training_set(_reading(store, lake), lake, OBJECTIVE, service=MODEL)
        hashes.add(data.lineage.data_hash)

    assert len(hashes) == 1


def _reading(store, settings):
    store.config.offline_store.lake = settings.lake
    return store
