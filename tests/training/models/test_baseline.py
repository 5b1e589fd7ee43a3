from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.inspection import partial_dependence
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from larder.contracts.errors import ConfigurationError
from larder.distances import string_counts, string_distances
from larder.evaluation import evaluation, task_of
from tests.training.shop import COLUMNS, shop_objective
from training.models.baseline import baseline, dependence, number_baseline, string_baseline
from training.models.model import fit, inputs, predictions, row_weights
from training.models.tracking import load_challenger
from training.training_run import train

NAN, INFINITY = float("nan"), float("inf")


def test_a_hundred_values_make_ten_bins_of_ten():
    found = number_baseline(np.arange(100.0))

    assert found.counts == [10] * 10 and len(found.edges) == 9
    assert (found.quantiles[0], found.quantiles[-1], len(found.quantiles)) == (0.0, 99.0, 201)
    assert found.mean == 49.5 and found.deviation == pytest.approx(28.866, abs=1e-3)


def test_few_distinct_values_have_one_bin_each_and_a_value_on_an_edge_belongs_above_it():
    found = number_baseline(np.array([3.0, 1.0, 2.0, 2.0, NAN]))

    assert (found.edges, found.counts, found.nulls) == ([2.0, 3.0], [1, 2, 1], 1)


def test_one_value_makes_one_bin():
    found = number_baseline(np.full(7, 0.25))

    assert (found.edges, found.counts, found.deviation) == ([], [7], 0.0)


def test_no_bin_is_empty_however_many_rows_share_a_value():
    found = number_baseline(np.concatenate([np.zeros(600), np.arange(400.0)]))

    assert min(found.counts) > 0 and sum(found.counts) == 1000


def test_all_null_leaves_one_empty_bin_and_no_quantiles():
    found = number_baseline(np.array([NAN, NAN]))

    assert (found.edges, found.counts, found.nulls, found.quantiles) == ([], [0], 2, [])
    assert found.mean is None and found.deviation is None


def test_infinite_values_count_at_the_ends_and_leave_the_mean_finite():
    found = number_baseline(np.array([-INFINITY, 1.0, 3.0, INFINITY]))

    assert (found.counts, found.mean, found.quantiles[-1]) == ([2, 2], 2.0, 3.0)


def test_edges_are_float32_as_the_model_sees_the_value():
    found = number_baseline(np.array([0.0, 0.1]))

    assert found.edges == [float(np.float32(0.1))]


@pytest.mark.parametrize("values", [np.random.default_rng(seed).normal(size=500).round(1) for seed in range(5)])
def test_counts_are_those_of_a_plain_loop(values):
    found = number_baseline(values)

    bins = [sum(edge <= value for edge in found.edges) for value in values.astype(np.float32)]
    assert found.counts == np.bincount(bins, minlength=len(found.edges) + 1).tolist()


def test_strings_are_counted_and_the_rarest_put_together(monkeypatch):
    monkeypatch.setattr("training.models.baseline.STRINGS", 2)

    found = string_baseline(pa.chunked_array([["tin", "iron", None], ["iron", "zinc", "copper", "copper"]]))

    assert (found.counts, found.nulls, found.other) == ({"copper": 2, "iron": 2}, 1, 2)


def test_an_empty_string_is_a_null_as_it_is_to_model_and_monitors():
    values = pa.chunked_array([["tin", "", None, "tin"] * 100])

    usual, seen = string_baseline(values), string_counts(values)

    assert (usual.counts, usual.nulls) == ({"tin": 200}, 200)
    assert string_distances(seen, 200, usual).psi == 0


def test_a_challenger_brings_its_baseline_along(settings, objective, data):
    run = train(settings, objective, data, model="repairs")

    kept = load_challenger(settings, "repairs").description.baseline
    assert (kept.rows, kept.judged_rows) == (600, 400)
    assert set(kept.numbers) == set(COLUMNS.numbers) and sum(kept.strings["metal"].counts.values()) > 0
    assert set(kept.dependence) == set(COLUMNS.names)
    assert sum(kept.prediction.counts) == 400 and kept.metrics == run.evaluation.metrics
    for number in kept.numbers.values():
        assert sum(number.counts) + number.nulls == 600


def test_partial_dependence_is_scikit_learns_own(objective, data):
    pipeline = fit(objective, data.train, COLUMNS)
    evaluated = evaluation(objective, data.test, predictions(pipeline, data.test, COLUMNS), {})
    task = task_of(objective)
    outcome = task.outcomes(data.test, "came_back")
    usual = baseline(data.train, COLUMNS, task, outcome=outcome, predicted=np.ones(400), evaluation=evaluated)

    found = dependence(pipeline, data.train.slice(0, 150), COLUMNS, usual, seed=1)

    frame = inputs(data.train.slice(0, 150), COLUMNS)
    age = [float(np.median(part)) for part in np.array_split(np.sort(data.train["age_years"].to_numpy()), 10)]
    for name, values in {"age_years": age, "metal": [*usual.strings["metal"].counts]}.items():
        expected = partial_dependence(
            pipeline, frame, [name], custom_values={name: values}, method="brute", response_method="predict_proba",
            categorical_features=["metal"],
        )["average"][0]  # fmt: skip
        assert found[name][: len(values)] == pytest.approx(expected, abs=1e-3)
    # Old pans and copper come back; weight says nothing.
    assert found["age_years"][9] - found["age_years"][0] > 0.3
    assert np.ptp(found["weight_kg"]) < 0.1
    assert len(found["weight_kg"]) == 11 and len(found["metal"]) == 3 + 2


def test_a_row_one_half_life_older_weighs_half():
    newest = datetime(2024, 1, 9, tzinfo=UTC)
    at = pa.array([newest - timedelta(days=8), newest - timedelta(days=4), newest], pa.timestamp("us", "UTC"))

    weights = row_weights(pa.table({"event_timestamp": at}), timedelta(days=4))

    assert weights.tolist() == [0.25, 0.5, 1.0]


def test_newer_rows_weigh_more_in_the_fit(objective, data):
    turned = pa.chunked_array([[not label for label in data.train["came_back"].to_pylist()[:300]]])
    flipped = pa.concat_tables([data.train.slice(0, 300).set_column(4, "came_back", turned), data.train.slice(300)])

    def quality(half_life: timedelta | None) -> float:
        pipeline = fit(objective, flipped, COLUMNS, half_life=half_life)
        return pipeline.score(inputs(data.test, COLUMNS), task_of(objective).outcomes(data.test, "came_back"))

    assert quality(timedelta(hours=8)) > quality(None) + 0.1


def test_an_estimator_that_cannot_weigh_rows_is_refused(data):
    numbers = replace(COLUMNS, strings=())

    def neighbours(*_: object) -> Pipeline:
        return Pipeline([("neighbours", KNeighborsClassifier())])

    with pytest.raises(ConfigurationError, match=r"KNeighborsClassifier takes no weights.*half_life to None"):
        fit(shop_objective(pipeline=neighbours), data.train, numbers, half_life=timedelta(days=1))
