"""Distances between windows and training, against scipy's own and in their corners."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency, wasserstein_distance

from larder.contracts.monitoring import Baseline, NumberBaseline, StringBaseline
from larder.distances import as_float32, number_distances, string_distances
from larder.usual_windows import with_usual_windows

RANDOM = np.random.default_rng(7)
TRAINING = RANDOM.normal(size=50_000).astype(np.float32).astype(float)


def usual_of(values: np.ndarray) -> NumberBaseline:
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return NumberBaseline(
        edges.tolist(),
        counts.tolist(),
        len(values) - len(known),
        np.quantile(known, np.linspace(0, 1, 201)).tolist(),
        float(known.mean()),
        float(known.std()),
    )


def test_without_change_the_distances_beyond_noise_are_about_nothing():
    usual = usual_of(TRAINING)
    found = [number_distances(RANDOM.normal(size=300), usual) for _ in range(200)]

    assert np.median([item.psi for item in found]) < 0.01
    assert np.median([item.wasserstein or 0 for item in found]) < 0.02
    assert np.mean([item.p_value < 0.05 for item in found]) < 0.08


def test_wasserstein_is_scipys_distance_in_standard_deviations():
    values = RANDOM.normal(0.7, 1.3, 20_000)

    found = number_distances(values, usual_of(TRAINING)).wasserstein

    assert found == pytest.approx(wasserstein_distance(values, TRAINING), rel=0.05)


def test_the_p_value_of_strings_is_scipys_chi_square_test():
    usual = StringBaseline({"a": 500, "b": 300, "c": 200}, nulls=100)

    found = string_distances({"a": 60, "b": 30, "c": 10}, 20, usual)

    expected = chi2_contingency([[60, 30, 10, 20], [500, 300, 200, 100]], correction=False).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9)


def test_the_effect_is_the_distance_between_the_answers_of_window_and_training():
    usual = usual_of(TRAINING)
    answers = np.append(np.linspace(0.1, 0.4, 10) ** 2, 0.9)  # by bin, then null
    values = np.append(RANDOM.normal(0.7, 1.3, 20_000), [np.nan] * 1_000)

    found = number_distances(values, usual, answers.tolist()).effect

    places = np.where(np.isnan(values), 10, np.searchsorted(usual.edges, values, side="right"))
    expected = wasserstein_distance(
        answers[places], answers, v_weights=np.array([*usual.counts, usual.nulls]) / len(TRAINING)
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_effect_of_strings_takes_in_other_values_and_nulls():
    usual = StringBaseline({"a": 50, "b": 50}, nulls=0, other=0)

    found = string_distances({"a": 25, "b": 25, "z": 25}, 25, usual, [0.1, 0.3, 0.2, 0.6]).effect

    # A quarter of the answers comes from .1 to .2, and a quarter from .3 to .6.
    assert found == pytest.approx(0.25 * 0.1 + 0.25 * 0.3)


def test_without_partial_dependence_there_is_no_effect():
    assert number_distances(TRAINING[:500], usual_of(TRAINING)).effect is None


def test_one_odd_row_makes_no_difference_however_large_the_training():
    usual = StringBaseline({"a": 500_000, "b": 500_000}, nulls=0)

    found = string_distances({"a": 150, "b": 149, "new": 1}, 0, usual)

    assert found.psi < 0.01 and found.p_value > 0.05


@pytest.mark.parametrize("values", [[np.nan] * 5, [1.0] * 5, [np.inf, -np.inf, 1.0]])
def test_windows_of_nulls_constants_and_infinities_have_distances(values: list[float]):
    found = number_distances(np.array(values), usual_of(TRAINING))

    assert np.isfinite([found.psi, found.jensen_shannon, found.p_value]).all()


def test_a_training_of_nulls_only_knows_no_distance_of_values():
    found = number_distances(np.array([1.0, 2.0]), NumberBaseline([], [0], 100, [], None, None))

    assert found.wasserstein is None and found.kolmogorov_smirnov is None


def test_usual_windows_are_those_of_the_days_that_training_saw():
    days, per_day = 30, 400
    level = np.repeat(RANDOM.normal(size=days), per_day)  # each day at its own level, as weather has it
    values = (level + 0.1 * RANDOM.normal(size=days * per_day)).astype(np.float32).astype(float)
    values[:per_day] = np.nan
    start = datetime(2024, 1, 1, tzinfo=UTC)
    at = [start + timedelta(days=day) for day in range(days) for _ in range(per_day)]
    rows = pa.table({"event_timestamp": pa.array(at, pa.timestamp("us", "UTC")), "level": values})
    answers = {"level": np.linspace(0.1, 0.3, 11).tolist()}
    plain = Baseline(len(at), {"level": usual_of(values)}, {}, usual_of(values), 0, {}, 0.2, answers)

    found = with_usual_windows(
        plain, rows, rows["event_timestamp"], values, fitted=values, fitted_usual=usual_of(values),
        length=timedelta(days=1), minimum_rows=300,
    ).usual  # fmt: skip

    assert found["level"]["psi"] > 1 and found["level"]["null_share"] == 1.0
    assert 0 < found["level"]["effect"] < 0.2
    assert set(found["level"]) == {"psi", "jensen_shannon", "wasserstein", "effect", "null_share"}
    assert found["prediction"]["psi"] == found["level"]["psi"]


def test_days_of_training_tell_what_is_usual_for_predictions_where_few_days_were_judged():
    per_day, start = 400, datetime(2024, 1, 1, tzinfo=UTC)
    at = pa.chunked_array(
        [pa.array([start + timedelta(days=n // per_day) for n in range(30 * per_day)], pa.timestamp("us", "UTC"))]
    )
    fitted = np.repeat(RANDOM.uniform(0.1, 0.5, 30), per_day) + 0.05 * RANDOM.normal(size=30 * per_day)
    judged = 0.2 + 0.05 * RANDOM.normal(size=3 * per_day)  # three calm days
    plain = Baseline(len(at), {}, {}, usual_of(judged), 3 * per_day, {}, 0.2)

    found = with_usual_windows(
        plain, pa.table({"event_timestamp": at}), at.slice(0, 3 * per_day), judged, fitted=fitted,
        fitted_usual=usual_of(fitted), length=timedelta(days=1), minimum_rows=300,
    ).usual  # fmt: skip

    assert found["prediction"]["psi"] > 1
    assert number_distances(judged[:per_day], plain.prediction).psi < 0.1


def test_windows_with_too_few_rows_say_nothing_of_what_is_usual():
    at = pa.chunked_array([pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 10, pa.timestamp("us", "UTC"))])
    values = np.arange(10.0)
    plain = Baseline(10, {"x": usual_of(values)}, {}, usual_of(values), 10, {}, 0.2)

    found = with_usual_windows(
        plain, pa.table({"event_timestamp": at, "x": values}), at, values, fitted=values,
        fitted_usual=usual_of(values), length=timedelta(days=1), minimum_rows=300,
    ).usual  # fmt: skip

    assert found == {"x": {}, "prediction": {}}


def test_a_value_beyond_float32_is_infinite_as_the_model_sees_it_and_no_warning():
    assert as_float32(pa.chunked_array([[1e308, -1e308, None, 1.5]])).tolist()[:2] == [np.inf, -np.inf]
