"""Training, MLflow and promotion together: what `larder train` and `larder promote` do."""

import shutil
from dataclasses import replace

import mlflow
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from feast import FeatureService

import larder.registry
import training.cli
import training.promotion
import training.release.begin
from larder.contracts.bundle import (
    MODEL_FILES,
    champion_bundle,
    read_files,
    read_manifest,
)
from larder.contracts.errors import GateError, InvalidDataError, MissingTableError, SchemaMismatchError
from larder.contracts.objective import Gate
from larder.contracts.reports import read_report
from larder.contracts.retraining import Release
from larder.contracts.tables import Lake
from larder.ledger import ledger_of
from tests.keys import key_pair
from tests.training.shop import COLUMNS, shop_candidate, shop_data, shop_objective, shop_rows, write_shop
from training.models.export import bundle_predictions
from training.models.model import predictions
from training.models.tracking import MODEL, ROWS, load_challenger
from training.promotion import champion_predictions
from training.release.begin import Promotion
from training.training_run import train

MODEL_NAME = "repairs"
STRICT = Gate("roc_auc", ">=", 0.99)


def champion_alias(settings) -> str:
    client = mlflow.MlflowClient(settings.mlflow)
    return str(client.get_model_version_by_alias(MODEL_NAME, "champion").version)


def promote(store, settings, objective, *, model: str, number: str | None = None) -> Promotion:
    chosen = shop_candidate(settings, objective, number)
    return training.release.begin.promote(store, settings, objective, Release(), chosen, ledger=ledger_of(settings))


def served_version(settings) -> str:
    return champion_bundle(settings.bundles, MODEL_NAME).name


def test_a_run_holds_what_the_model_is_and_where_it_came_from(settings, objective, data):
    run = train(settings, objective, data, model=MODEL_NAME)

    logged = mlflow.MlflowClient(settings.mlflow).get_run(run.version.run_id).data
    assert logged.metrics["roc_auc"] == pytest.approx(run.evaluation.metrics["roc_auc"])
    assert {"constant.log_loss", "calendar.roc_auc"} <= set(logged.metrics)
    assert logged.params["trees__max_iter"] == "20" and logged.params["train_rows"] == "600"
    assert logged.tags["larder.data_hash"] == "d" * 64 and logged.tags["larder.tables"] == '{"labels/repairs":0}'
    plots = mlflow.MlflowClient(settings.mlflow).list_artifacts(run.version.run_id, "plots")
    assert {plot.path for plot in plots} == {f"plots/{name}.png" for name in ("roc", "calibration", "importance")}
    assert (settings.state / "mlruns" / MODEL_NAME).is_dir()


def test_the_challenger_comes_back_as_it_was_logged(settings, objective, data):
    run = train(settings, objective, data, model=MODEL_NAME)

    challenger = load_challenger(settings, MODEL_NAME)

    assert challenger.version == run.version
    assert challenger.description.columns == COLUMNS
    assert challenger.description.evaluation == run.evaluation
    assert challenger.test.equals(data.test)
    again = predictions(challenger.pipeline, challenger.test, COLUMNS)
    assert training.promotion.evaluated_again(challenger, settings, objective).metrics == run.evaluation.metrics
    assert len(again) == run.evaluation.rows


@pytest.mark.parametrize("name", [MODEL, ROWS])
def test_a_file_that_is_not_what_the_run_logged_is_refused_unread(settings, objective, data, name):
    train(settings, objective, data, model=MODEL_NAME)
    [file] = settings.state.glob(f"mlruns/**/{name}")
    file.write_bytes(b"evil" + file.read_bytes()[4:])

    with pytest.raises(InvalidDataError, match=f"{name} of 'repairs' version 1 is not what its run logged"):
        load_challenger(settings, MODEL_NAME)


def test_without_training_there_is_nothing_to_promote(store, settings, objective):
    with pytest.raises(MissingTableError, match="larder train"):
        promote(store, settings, objective, model=MODEL_NAME)


def test_a_challenger_that_passes_serves_in_the_bundle_exactly_as_trained(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)

    done = promote(store, settings, objective, model=MODEL_NAME)

    manifest = read_manifest(done.bundle)
    assert (served_version(settings), champion_alias(settings)) == ("1", "1")
    assert (manifest.runtime, manifest.numbers, manifest.strings) == ("onnx", COLUMNS.numbers, COLUMNS.strings)
    assert manifest.threshold == 0.25 and set(manifest.bounds) == set(COLUMNS.numbers)
    assert manifest.costs == objective.kpi.costs
    model = read_files(done.bundle, manifest)[MODEL_FILES["onnx"]]
    trained = predictions(load_challenger(settings, MODEL_NAME).pipeline, data.test, COLUMNS)
    assert np.abs(bundle_predictions(manifest, model, data.test) - trained).max() <= 1e-5
    assert all(gate.passed for gate in done.gates)


def test_promotion_signs_what_it_freezes(store, settings, objective, data, tmp_path):
    private, public = key_pair(tmp_path)
    settings = replace(settings, signing_key=private, trusted_keys=public)
    train(settings, objective, data, model=MODEL_NAME)

    done = promote(store, settings, objective, model=MODEL_NAME)

    assert read_manifest(done.bundle, trusted_keys=public).version == "1"


def test_a_version_judged_by_other_costs_is_not_released_also_one_that_served(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)
    promote(store, settings, objective, model=MODEL_NAME)
    dearer = replace(objective, kpi=replace(objective.kpi, miss=9.0))

    with pytest.raises(
        SchemaMismatchError, match=r"the costs false_alarm 1, miss 3, and .* says false_alarm 1, miss 9"
    ):
        promote(store, settings, dearer, model=MODEL_NAME)

    train(settings, dearer, data, model=MODEL_NAME)
    assert read_manifest(promote(store, settings, dearer, model=MODEL_NAME).bundle).threshold == 0.1


def test_a_failed_gate_leaves_the_champion_where_it_is(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)
    promote(store, settings, objective, model=MODEL_NAME)
    train(settings, objective, data, model=MODEL_NAME)

    with pytest.raises(GateError, match=r"repairs version 2 is not promoted: roc_auc is 0\.\d+, must be >= 0.9900"):
        promote(store, settings, replace(objective, gates=(STRICT,)), model=MODEL_NAME)

    assert (served_version(settings), champion_alias(settings)) == ("1", "1")
    assert not (settings.bundles / MODEL_NAME / "2").exists()


def test_a_challenger_worse_than_the_champion_on_the_same_rows_is_refused(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)
    promote(store, settings, objective, model=MODEL_NAME)
    noise = data.train.set_column(
        data.train.column_names.index("came_back"), "came_back", [np.random.default_rng(0).random(600) < 0.5]
    )
    objective = replace(objective, gates=(Gate("roc_auc", ">=", -0.01, relative_to="champion"),))

    run = train(settings, objective, replace(data, train=noise), model=MODEL_NAME)

    assert [gate.passed for gate in run.gates] == [False]
    assert run.evaluation.references["champion"]["roc_auc"] > 0.9
    with pytest.raises(GateError, match="against champion"):
        promote(store, settings, objective, model=MODEL_NAME)


def test_a_changed_feature_service_is_refused(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)
    pans = store.get_feature_view("pans")
    store.apply([FeatureService(name="repairs", features=[pans[["age_years", "metal"]]])])

    with pytest.raises(SchemaMismatchError, match=r"\['weight_kg'\] came or went.*larder train"):
        promote(store, settings, objective, model=MODEL_NAME)


def test_a_version_whose_answers_could_not_be_logged_is_refused(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)
    log = Lake(settings.lake).predictions(MODEL_NAME)
    write_deltalake(log, pa.table({"features": [{COLUMNS.numbers[0]: "a text"}]}))

    with pytest.raises(SchemaMismatchError, match=rf"could not be logged: features\.{COLUMNS.numbers[0]} \(string, "):
        promote(store, settings, objective, model=MODEL_NAME)

    shutil.rmtree(log)
    assert promote(store, settings, objective, model=MODEL_NAME).bundle.is_dir()


def test_a_tampered_champion_is_not_compared_with(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)
    bundle = promote(store, settings, objective, model=MODEL_NAME).bundle
    (bundle / "model.onnx").write_bytes(b"evil")

    with pytest.raises(InvalidDataError, match="does not have the hash"):
        champion_predictions(settings, shop_objective(), MODEL_NAME, data.test)


def test_a_champion_whose_inputs_are_gone_is_no_reference(store, settings, objective, data):
    train(settings, objective, data, model=MODEL_NAME)
    promote(store, settings, objective, model=MODEL_NAME)

    weight = data.test.column_names.index("weight_kg")
    as_text = data.test.set_column(weight, "weight_kg", data.test["weight_kg"].cast(pa.large_string()))
    for rows, lacking in ((data.test.drop_columns(["metal"]), "metal"), (as_text, "weight_kg")):
        found = champion_predictions(settings, shop_objective(), MODEL_NAME, rows)
        assert found.predicted is None and found.unjudged.startswith(f"version 1 serves and reads ['{lacking}'], which")


def test_an_older_version_can_be_promoted_by_its_number(store, settings, objective, data):
    for _ in range(2):
        train(settings, objective, data, model=MODEL_NAME)
    promote(store, settings, objective, model=MODEL_NAME)

    promote(store, settings, objective, model=MODEL_NAME, number="1")

    assert (served_version(settings), champion_alias(settings)) == ("1", "1")


def test_the_commands_train_promote_and_report(store, settings, monkeypatch):
    write_shop(settings, shop_rows(1000, shop_data().train["event_timestamp"][0].as_py(), seed=1))
    objective = shop_objective(split_at=shop_data().train["event_timestamp"][-1].as_py())
    monkeypatch.setattr(training.cli, "declared", lambda *_: objective)
    monkeypatch.setattr(training.cli, "declared_or", lambda _, default, __: default)
    monkeypatch.setattr(training.cli, "use_case_name", lambda *_: MODEL_NAME)
    monkeypatch.setattr(larder.registry, "feature_store", lambda *_: store)

    trained = CliRunner().invoke(training.cli.train, obj=settings, catch_exceptions=False)
    promoted = CliRunner().invoke(training.cli.promote, obj=settings, catch_exceptions=False)

    assert "repairs version 1 is the challenger" in trained.output and "passed" in trained.output
    assert "roc_auc against champion is passed unseen: no version serves yet.\n" in trained.output
    assert "repairs version 1 is the champion" in promoted.output
    report = read_report(settings, "train")
    assert report["rows"] == {"train": 599 - 6, "test": 401}
    assert set(report["references"]) == {"constant", "calendar", "champion"}
    assert report["data"]["tables"] == {"labels/repairs": 0, "silver/pans": 0}
    assert {gate["name"] for gate in report["gates"]} == {gate.name for gate in objective.gates}
    assert report["curves"]["importance"][0]["feature"] in COLUMNS.names
    assert read_report(settings, "promote")["parity"]["max_difference"] <= 1e-5
