"""A champion that answers a number, over HTTP and in the log."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline

from larder.contracts.bundle import Manifest, set_champion, write_bundle
from larder.contracts.errors import SchemaMismatchError
from larder.contracts.objective import REGRESSION
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.predictions import read_predictions
from serving.models.model import load_model
from tests.serving.conftest import NOW, NUMBERS, PLAN, Client, serving
from training.models.export import onnx_graph
from training.models.model import Columns


@pytest.fixture(scope="session")
def line() -> Pipeline:
    """Ten times the hour and the amount."""
    import pandas as pd

    numbers = pd.DataFrame(np.random.default_rng(1).uniform(0, 100, (200, len(NUMBERS))), columns=list(NUMBERS))
    return make_pipeline(SimpleImputer(), LinearRegression()).fit(numbers, 10 * numbers.order_hour + numbers.amount)


@pytest.fixture
def number_manifest(manifest: Manifest) -> Manifest:
    import msgspec

    return msgspec.structs.replace(manifest, strings=(), threshold=None, task=REGRESSION)


@pytest.fixture
def number_server(
    settings: Settings, materialize: Callable[[], None], number_manifest: Manifest, line: Pipeline
) -> Iterator[Client]:
    materialize()
    write_bundle(settings.bundles, number_manifest, PLAN, onnx_graph(line, Columns(NUMBERS)))
    set_champion(settings.bundles, "returns", "1")
    with serving(settings) as client:
        yield client


def test_a_number_is_answered_without_a_decision_and_logged(
    number_server: Client, settings: Settings, known: dict[str, Any]
):
    prediction = number_server.ask(known, known).prediction

    assert prediction["prediction"] == pytest.approx(10 * 12 + 20, rel=1e-5)
    assert {"return_probability", "is_return_expected"}.isdisjoint(prediction)
    assert number_server.get("/model").json["task"] == "regression"
    place = Lake(settings.lake).predictions("returns")
    logged = _logged(place)
    assert logged["prediction"].to_pylist() == pytest.approx([140.0, 140.0], rel=1e-5)
    assert {"probability", "decision"}.isdisjoint(logged.column_names)


def test_a_number_beyond_all_bounds_is_no_answer_and_no_number_in_the_log(
    number_server: Client, settings: Settings, known: dict[str, Any]
):
    absurd = number_server.ask(known | {"amount": 1e300}, known).json["predictions"]

    assert (absurd[0]["prediction"], absurd[0]["confidence"], absurd[0]["out_of_bounds"]) == (None, "low", ["amount"])
    assert absurd[1]["prediction"] == pytest.approx(140.0, rel=1e-5)
    assert _logged(Lake(settings.lake).predictions("returns"))["prediction"].null_count == 1


def _logged(place: str) -> Any:
    import time
    from datetime import timedelta

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = read_predictions(place, since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1))
        if found.num_rows == 2:
            return found
        time.sleep(0.2)
    raise AssertionError("nothing was logged within 30 seconds")


def test_scikit_learn_itself_answers_the_same_number(settings: Settings, number_manifest: Manifest, line: Pipeline):
    import io

    import joblib
    import msgspec

    file = io.BytesIO()
    joblib.dump(line, file)
    manifest = msgspec.structs.replace(number_manifest, runtime="sklearn")

    model = load_model(write_bundle(settings.bundles, manifest, PLAN, file.getvalue()))

    assert model.scores([[30.0, 40, "east", 50.0, 12, 20.0]]).predicted == pytest.approx([140.0])


def test_a_model_that_answers_no_number_is_refused_when_it_is_loaded(settings: Settings, number_manifest: Manifest):
    import pandas as pd

    numbers = pd.DataFrame(np.ones((4, len(NUMBERS))), columns=list(NUMBERS))
    line = make_pipeline(SimpleImputer(), LinearRegression()).fit(numbers, np.ones(4))
    line[-1].intercept_ = np.inf
    bundle = write_bundle(settings.bundles, number_manifest, PLAN, onnx_graph(line, Columns(NUMBERS)))

    with pytest.raises(SchemaMismatchError, match="where a finite number belongs"):
        load_model(bundle)
