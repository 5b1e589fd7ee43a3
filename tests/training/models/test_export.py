import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.tree import DecisionTreeRegressor

import training.models.export
from larder.contracts.bundle import Manifest
from larder.contracts.objective import Label
from tests.training.shop import COLUMNS, shop_objective
from tests.training.solder import number_pipeline, solder_data, solder_objective
from training.data.training_set import TrainingSet
from training.models.export import TOLERANCE, bundle_predictions, export, loaded, onnx_graph
from training.models.model import Columns, fit, predictions

ROOT = Path(__file__).parents[2]


def manifest(runtime: str, columns: Columns) -> Manifest:
    return Manifest("repairs", "1", "r", "came_back", runtime, columns.numbers, columns.strings, {}, 0.25, 0.0, "2024")


@pytest.mark.parametrize(
    "columns",
    [COLUMNS, Columns(("age_years", "weight_kg")), Columns((), ("metal",))],
    ids=["both", "numbers", "strings"],
)
def test_the_graph_answers_as_scikit_learn_does_with_nulls_and_unknown_strings(data, columns):
    model = fit(shop_objective(), data.train, columns)
    unknown = pa.array(["gold", None, ""] + ["iron"] * (data.test.num_rows - 3))
    rows = data.test.drop_columns(["metal"]).append_column("metal", unknown)

    exported = export(model, columns, rows)

    assert (exported.runtime, exported.reason, exported.rows) == ("onnx", "", rows.num_rows)
    assert exported.max_difference <= TOLERANCE
    served = bundle_predictions(manifest("onnx", columns), exported.model, rows)
    assert served == pytest.approx(predictions(model, rows, columns), abs=TOLERANCE)


def arbitrary_function(numbers, strings) -> Pipeline:
    function = ("function", FunctionTransformer(np.exp))
    return Pipeline([function, ("imputer", SimpleImputer()), ("classifier", LogisticRegression())])


def test_a_pipeline_that_onnx_cannot_express_is_served_by_scikit_learn(data):
    columns = Columns(("age_years",))
    model = fit(shop_objective(pipeline=arbitrary_function), data.train, columns)

    exported = export(model, columns, data.test)

    assert exported.runtime == "sklearn" and "cannot express" in exported.reason
    served = bundle_predictions(manifest("sklearn", columns), exported.model, data.test)
    assert served.tolist() == predictions(model, data.test, columns).tolist()


EXPORTED_BYTES = """
import hashlib
from tests.training.shop import COLUMNS, shop_data, shop_objective
from tests.training.models.test_export import arbitrary_function
from training.models.export import export
from training.models.model import Columns, fit
rows = shop_data()
for objective, columns in (
    (shop_objective(), COLUMNS), (shop_objective(pipeline=arbitrary_function), Columns(("age_years",)))
):
    exported = export(fit(objective, rows.train, columns), columns, rows.test)
    print(exported.runtime, hashlib.sha256(exported.model).hexdigest())
"""


def test_a_model_that_is_exported_again_by_another_process_is_the_same_to_the_byte():
    def exported(seed: str) -> list[str]:
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", EXPORTED_BYTES]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    # Under these two, the set from which skl2onnx takes the order of its operators has different orders.
    first, second = exported("1"), exported("3")

    assert first == second and first[::2] == ["onnx", "sklearn"]


@pytest.mark.parametrize("is_nested", [False, True], ids=["alone", "voting"])
def test_thresholds_between_neighbouring_float32_values_are_kept(is_nested):
    """Half-way between two of them lies a float64 that float32 would round up onto the larger one."""
    low = np.float32(10) + np.spacing(np.float32(10)) * np.arange(200, dtype=np.float32)
    rows = pa.table({"size": np.tile(low, 20), "label": np.tile(np.arange(200) % 2 == 0, 20)})
    columns = Columns(("size",))
    objective = shop_objective(
        label=Label("sizes", "label", positive="odd"), pipeline=votes if is_nested else deep_trees
    )
    model = fit(objective, rows, columns)

    exported = export(model, columns, rows)

    plain = loaded("onnx", onnx_graph(model, columns), columns)(rows)
    assert np.abs(plain - predictions(model, rows, columns)).max() > 0.1
    assert (exported.runtime, exported.max_difference < TOLERANCE) == ("onnx", True)


def deep_trees(numbers, strings):
    trees = HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=None, min_samples_leaf=1, early_stopping=False)
    return Pipeline([("trees", trees)])


def votes(numbers, strings):
    [(name, trees)] = deep_trees(numbers, strings).steps
    return Pipeline(
        [("votes", VotingClassifier([(name, trees), ("again", trees)], voting="soft", flatten_transform=False))]
    )


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_numbers_of_any_size_are_served_by_a_graph_and_wrong_ones_are_not(monkeypatch, scale):
    data = solder_of(lambda grams: grams * scale)
    model = fit(solder_objective(), data.train, COLUMNS)

    assert export(model, COLUMNS, data.test).runtime == "onnx"

    exact = training.models.export.loaded
    monkeypatch.setattr(training.models.export, "loaded", lambda *of: lambda rows: exact(*of)(rows) * 1.01)
    assert "differs by up to" in export(model, COLUMNS, data.test).reason


def test_numbers_that_differ_only_beyond_seven_digits_are_served_by_scikit_learn():
    """Instants in seconds: float32 knows only every 128th of them."""
    data = solder_of(lambda grams: grams + 1.7e9)

    exported = export(fit(solder_objective(), data.train, COLUMNS), COLUMNS, data.test)

    assert exported.runtime == "sklearn" and "differs by up to" in exported.reason


def test_one_enormous_prediction_excuses_no_error_of_the_others(monkeypatch):
    data = solder_of(lambda grams: np.where(np.arange(len(grams)) == 7, 1e9, grams))
    rows = pa.concat_tables([data.train, data.test])
    model = fit(solder_objective(pipeline=single_tree), rows, COLUMNS)
    assert predictions(model, rows, COLUMNS).max() == 1e9

    exact, wrong = training.models.export.loaded, np.arange(rows.num_rows) == 8
    monkeypatch.setattr(training.models.export, "loaded", lambda *of: lambda rows: exact(*of)(rows) + 5_000 * wrong)

    assert "differs by up to 5e+03" in export(model, COLUMNS, rows).reason


def solder_of(change) -> TrainingSet:
    """The solder of `solder_data` in another unit."""
    data = solder_data()
    place = data.train.column_names.index("solder_g")
    return replace(
        data,
        **{
            name: rows.set_column(place, "solder_g", pa.array(change(rows["solder_g"].to_numpy())))
            for name, rows in (("train", data.train), ("test", data.test))
        },
    )


def single_tree(numbers, strings):
    [encoder, _] = number_pipeline(numbers, strings).steps
    return Pipeline([encoder, ("tree", DecisionTreeRegressor(random_state=0))])


def test_a_graph_that_differs_is_not_served(data):
    """scikit-learn's own categories convert without an error, and to wrong probabilities."""

    def categorical(numbers, strings):
        encoder = ColumnTransformer([("s", OrdinalEncoder(), [2]), ("n", "passthrough", [0, 1])])
        trees = HistGradientBoostingClassifier(categorical_features=[0], max_iter=20, early_stopping=False)
        return Pipeline([("encode", encoder), ("trees", trees)])

    model = fit(shop_objective(pipeline=categorical), data.train, COLUMNS)
    served = loaded("onnx", onnx_graph(model, COLUMNS), COLUMNS)(data.test)

    exported = export(model, COLUMNS, data.test)

    assert np.abs(served - predictions(model, data.test, COLUMNS)).max() > 0.01
    assert exported.runtime == "sklearn" and "differs by up to" in exported.reason


def test_a_graph_that_answers_nothing_sensible_is_not_served(data, monkeypatch):
    model = fit(shop_objective(), data.train, COLUMNS)
    monkeypatch.setattr(training.models.export, "loaded", lambda *_: lambda rows: np.full(rows.num_rows, np.nan))

    assert export(model, COLUMNS, data.test).runtime == "sklearn"
