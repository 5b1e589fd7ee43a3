from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.objective import CLASSIFICATION, METRICS, Kpi, Slice
from larder.evaluation import calibration_curve, evaluation, slice_scores
from larder.evaluation.classification import Classification
from tests.training.shop import shop_objective

KPI = Kpi("cost", "EUR", false_alarm=1.0, miss=3.0, description="")
TASK = Classification(KPI)
OUTCOME = np.array([0, 0, 1, 1], dtype=np.int8)
ROWS = pa.table({"came_back": [False, False, True, True], "shop": ["north", "south", None, "south"]})


def test_the_threshold_is_where_acting_and_not_acting_cost_the_same():
    assert KPI.threshold == 0.25
    assert (1 - KPI.threshold) * KPI.false_alarm == KPI.threshold * KPI.miss


def test_the_cost_counts_false_alarms_and_misses_per_decision():
    # acts on rows 1 and 2: one false alarm (1 EUR), one miss (3 EUR), four decisions
    assert TASK.losses(OUTCOME, np.array([0.1, 0.25, 0.9, 0.2]))["kpi"].mean() == 1.0


def test_every_declared_metric_is_computed_and_right_for_a_perfect_model():
    found = TASK.metrics(OUTCOME, np.array([0.0, 0.0, 1.0, 1.0]))

    assert set(found) == set(METRICS[CLASSIFICATION])
    assert (found["roc_auc"], found["brier"], found["calibration_error"], found["kpi"]) == (1, 0, 0, 0)


def test_a_constant_is_one_calibration_bin():
    curve = calibration_curve(OUTCOME, np.full(4, 0.3))

    assert (curve.predicted, curve.observed, curve.count) == ([pytest.approx(0.3)], [0.5], [4])


@pytest.mark.parametrize("sure", [0.5, 0.98])
def test_a_model_that_gives_two_answers_has_two_calibration_bins(sure: float):
    """Of one bin the errors of both would cancel out, and a model that says the opposite would count as calibrated."""
    predicted = np.repeat([0.1, 0.9], [round(100 * sure), round(100 * (1 - sure))])
    opposite = (predicted < 0.5).astype(np.int8)

    curve = calibration_curve(opposite, predicted)

    assert curve.observed == [1, 0]
    assert TASK.metrics(opposite, predicted)["calibration_error"] == pytest.approx(0.9)


def test_calibration_bins_hold_every_row_once():
    predicted = np.random.default_rng(0).random(1000)

    curve = calibration_curve((predicted > 0.5).astype(np.int8), predicted)

    assert sum(curve.count) == 1000 and max(curve.count) - min(curve.count) <= 1


def test_references_without_a_model_are_none_and_doing_without_a_model_is_priced():
    judged = evaluation(shop_objective(), ROWS, np.array([0.1, 0.3, 0.8, 0.9]), {"champion": None})

    assert judged.references == {"champion": None}
    assert judged.kpi_without_model == 0.5  # acting always: two false alarms in four decisions


def test_slices_judge_each_value_and_leave_small_ones_out():
    predicted = np.array([0.1, 0.3, 0.8, 0.9])

    scores = slice_scores(Slice("shop", "shop", minimum_rows=1), ROWS, TASK, OUTCOME, predicted)
    large = slice_scores(Slice("shop", "shop", minimum_rows=2), ROWS, TASK, OUTCOME, predicted)

    assert [(score.value, score.rows) for score in scores] == [("missing", 1), ("north", 1), ("south", 2)]
    assert [score.metrics["roc_auc"] for score in scores] == [None, None, 1.0]
    assert [score.value for score in large] == ["south"]


def test_a_slice_whose_function_makes_no_text_is_refused_before_anything_is_kept_of_it():
    part = Slice("first letter", "shop", value=lambda shop: ord(shop[0]), minimum_rows=1)

    with pytest.raises(ConfigurationError, match=r"`value` of slice 'first letter' makes 110 of 'north'"):
        slice_scores(part, ROWS, TASK, OUTCOME, np.full(4, 0.5))


def test_a_slice_of_instants_is_named_by_its_function():
    at = pa.array([datetime(2024, 1, 31, tzinfo=UTC)] * 2 + [datetime(2024, 2, 1, tzinfo=UTC)] * 2)
    part = Slice("month", "at", value=lambda instant: f"{instant:%Y-%m}", minimum_rows=1)

    scores = slice_scores(part, ROWS.append_column("at", at), TASK, OUTCOME, np.full(4, 0.5))

    assert [score.value for score in scores] == ["2024-01", "2024-02"]


def test_test_labels_of_one_kind_are_refused():
    rows = pa.table({"came_back": [True, True]})

    with pytest.raises(InvalidDataError, match="All 2 test labels 'came_back' are the same"):
        evaluation(shop_objective(slices=(), gates=()), rows, np.array([0.5, 0.6]), {})


def test_a_label_that_is_neither_true_nor_false_is_refused():
    with pytest.raises(InvalidDataError, match=r"\[2.0\]"):
        TASK.outcomes(pa.table({"came_back": [0, 1, 2]}), "came_back")
