"""A model that answers a number, from its training to its bundle."""

import json

import mlflow
import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

import training.release.begin
from larder.contracts.bundle import champion_bundle, read_manifest
from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.objective import Gate, Kpi, Label, Slice
from larder.contracts.retraining import Release
from larder.evaluation import slice_scores, task_of
from larder.ledger import ledger_of
from serving.models.model import load_model
from tests.training.shop import COLUMNS, shop_objective, write_shop
from tests.training.solder import KPI, solder_data, solder_objective
from training.gates import gate_results
from training.models.model import fit, importance, predictions
from training.promotion import candidate, champion_predictions
from training.release.comparison import Comparison, Interval
from training.release.decision import is_good_enough
from training.report import train_report
from training.training_run import train

MODEL = "repairs"


@pytest.fixture
def data():
    return solder_data()


def test_a_run_is_judged_by_the_metrics_of_numbers_and_logged_whole(settings, data):
    objective = solder_objective()

    run = train(settings, objective, data, model=MODEL)

    outcome = data.test["solder_g"].to_numpy()
    assert run.evaluation.metrics["r2"] > 0.95 and run.evaluation.metrics["mae"] < 8
    assert run.evaluation.references["constant"]["bias"] == pytest.approx(
        data.train["solder_g"].to_numpy().mean() - outcome.mean()
    )
    assert run.evaluation.roc is None and sum(run.evaluation.calibration.count) == 400
    assert all(gate.passed for gate in run.gates) and next(iter(run.importance)) == "metal"
    logged = mlflow.MlflowClient(settings.mlflow).get_run(run.version.run_id).data
    assert {"mae", "constant.r2", "calendar.kpi"} <= set(logged.metrics) and logged.params["quantile"] == "0.75"
    plots = mlflow.MlflowClient(settings.mlflow).list_artifacts(run.version.run_id, "plots")
    assert {plot.path for plot in plots} == {f"plots/{name}.png" for name in ("calibration", "importance")}
    report = train_report(objective, data, run, use_case=MODEL, training_set_seconds=0.1)
    assert json.loads(json.dumps(report))["task"]["loss"] == "mae" and report["slices"][0]["ranking"] > 0.9


def test_what_serves_answers_what_was_trained(store, settings, data):
    write_shop(settings, solder_as_labels(data.train))
    chosen = promoted(store, settings, data)

    bundle = champion_bundle(settings.bundles, MODEL)
    manifest = read_manifest(bundle)
    assert (manifest.task, manifest.threshold, manifest.runtime) == ("regression", None, "onnx")
    trained = predictions(chosen.challenger.pipeline, data.test, COLUMNS)
    assert np.abs(champion_predictions(settings, solder_objective(), MODEL, data.test).predicted - trained).max() < 1e-3
    model = load_model(bundle)
    names = [column.name for column in model.plan.columns]
    rows = data.test.select(names).to_pylist()
    assert model.scores([list(row.values()) for row in rows]).predicted == pytest.approx(trained.tolist(), abs=1e-3)


def test_a_challenger_is_compared_with_the_champion_on_the_same_rows(store, settings, data):
    write_shop(settings, solder_as_labels(data.train))
    promoted(store, settings, data)

    run = train(settings, solder_objective(), data, model=MODEL)

    champion = run.evaluation.references["champion"]
    assert champion is not None and champion["mae"] == pytest.approx(run.evaluation.metrics["mae"], abs=1e-3)


def promoted(store, settings, data):
    objective = solder_objective()
    train(settings, objective, data, model=MODEL)
    chosen = candidate(settings, objective, Release(), model=MODEL, training_data=lambda _: data)
    training.release.begin.promote(store, settings, objective, Release(), chosen, ledger=ledger_of(settings))
    return chosen


def solder_as_labels(rows: pa.Table) -> pa.Table:
    return rows.append_column("came_back", pa.array([True] * rows.num_rows))


def test_the_best_constant_costs_less_than_its_neighbours():
    task, outcome = task_of(solder_objective()), np.random.default_rng(3).gamma(2, 20, 5_000)

    for loss, best in (("mae", np.quantile(outcome, 0.5)), ("kpi", np.quantile(outcome, 0.75))):
        least = task.constant_losses(outcome)[loss].mean()
        assert least == pytest.approx(task.losses(outcome, np.full(5_000, best))[loss].mean())
        for other in (best - 3, best + 3):
            assert task.losses(outcome, np.full(5_000, other))[loss].mean() > least


def test_too_low_costs_more_than_too_high():
    task, outcome = task_of(solder_objective()), np.array([10.0, 10.0])

    assert task.losses(outcome, np.array([8.0, 12.0]))["kpi"].tolist() == [6.0, 2.0]
    assert task.metrics(np.array([0.0, 10.0]), np.array([2.0, 6.0]))["bias"] == -1.0


def test_what_rows_are_told_apart_by_is_never_one_sided():
    task = task_of(solder_objective())

    assert task.is_above(np.array([0.0, 0.0, 0.0, 5.0])).tolist() == [False, False, False, True]
    assert task.is_above(np.array([0.0, 5.0, 5.0, 5.0])).tolist() == [False, True, True, True]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None])
def test_a_label_that_is_no_finite_number_is_refused(data, wrong):
    rows = pa.table({"solder_g": pa.array([1.0, wrong])})

    with pytest.raises(InvalidDataError, match="a label is a finite number"):
        task_of(solder_objective()).outcomes(rows, "solder_g")


def test_numbers_for_a_yes_or_no_question_are_refused_with_the_remedy(data):
    with pytest.raises(InvalidDataError, match="declare a NumberLabel"):
        task_of(shop_objective()).outcomes(data.train, "solder_g")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kpi": Kpi("cost", "EUR", 1.0, 2.0, "")}, "has a NumberLabel and a Kpi"),
        ({"label": Label("repairs", "came_back", positive="back")}, "has a Label and a ErrorKpi"),
        (
            {"gates": (Gate("roc_auc", ">=", 0.7),)},
            r"metric of a gate of regression: \['roc_auc'\]; possible are \['r2",
        ),
        ({"metrics": ("log_loss",)}, "metric of regression"),
    ],
    ids=["kpi", "label", "gate", "metric"],
)
def test_parts_of_different_tasks_do_not_go_together(changes, said):
    with pytest.raises(ConfigurationError, match=said):
        solder_objective(**changes)


def test_a_classifier_is_no_model_for_a_number(data):
    def classifier(numbers, strings):
        return Pipeline([("trees", HistGradientBoostingClassifier())])

    with pytest.raises(ConfigurationError, match=r"ends with HistGradientBoostingClassifier, but .* regression"):
        fit(solder_objective(pipeline=classifier), data.train, COLUMNS)


def test_costs_of_nothing_are_refused():
    with pytest.raises(ConfigurationError, match="both must be positive"):
        type(KPI)("cost", "EUR", too_low=0.0, too_high=1.0, description="")


@pytest.mark.parametrize(("gap", "is_promoted"), [(0.05, True), (0.2, False)])
def test_a_hundredth_of_the_champions_error_is_tolerated(gap, is_promoted):
    older = {"mae": 10.0}
    found = Comparison("mae", 900, 900, 9, Interval(gap, -1.0, 1.0), "", {"mae": 10.0 + gap}, older, {})

    assert is_good_enough(found, Release()) is is_promoted
    assert is_good_enough(found, Release(tolerance=1.0))


def test_gates_of_slices_take_the_worst_error(settings, data):
    run = train(settings, solder_objective(), data, model=MODEL)

    [found] = gate_results([Gate("mae", "<=", 20.0, slice="shop")], run.evaluation)

    assert found.value == max(score.metrics["mae"] for score in run.evaluation.slices)


def test_errors_are_judged_also_where_all_outcomes_of_a_slice_are_the_same():
    rows = pa.table({"shop": ["north", "north", "south", "south"]})
    outcome, predicted = np.array([0.0, 0.0, 1.0, 2.0]), np.array([30.0, 10.0, 1.0, 2.0])
    shops, task = Slice("shop", "shop", minimum_rows=2), task_of(solder_objective())

    north, south = slice_scores(shops, rows, task, outcome, predicted)

    assert (north.metrics["r2"], north.metrics["mae"], north.metrics["bias"]) == (None, 20.0, 20.0)
    assert (south.metrics["r2"], south.metrics["mae"]) == (1.0, 0.0)


def test_importance_is_what_is_lost_of_r2(data):
    objective = solder_objective()
    model, task = fit(objective, data.train, COLUMNS), task_of(objective)

    found = importance(model, data.test, COLUMNS, task, data.test["solder_g"].to_numpy(), seed=0)

    assert found["metal"] > found["age_years"] > found["weight_kg"]
