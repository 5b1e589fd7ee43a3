from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from larder.contracts.errors import ConfigurationError, GateError
from larder.contracts.objective import Gate
from larder.evaluation import SliceScore, evaluation, task_of
from tests.training.shop import shop_objective
from training.gates import champion_evidence, gate_results, require_passed

ROWS = pa.table({"came_back": [False, True, False, True], "shop": ["north"] * 4})
TASK = task_of(shop_objective())
SLICES = [SliceScore("shop", "north", 900, {"roc_auc": 0.9}), SliceScore("shop", "south", 900, {"roc_auc": 0.6})]


@pytest.fixture
def judged():
    """ROC-AUC .75, that of the calendar .5."""
    references = {"calendar": np.full(4, 0.5), "champion": None}
    return replace(evaluation(shop_objective(), ROWS, np.array([0.1, 0.4, 0.6, 0.9]), references), slices=SLICES)


@pytest.mark.parametrize(
    ("gate", "value", "limit", "passed"),
    [
        (Gate("roc_auc", ">=", 0.75), 0.75, 0.75, True),
        (Gate("roc_auc", ">=", 0.76), 0.75, 0.76, False),
        (Gate("roc_auc", "<=", 0.75), 0.75, 0.75, True),
        (Gate("roc_auc", ">=", 0.25, relative_to="calendar"), 0.75, 0.75, True),
        (Gate("roc_auc", ">=", 0.3, relative_to="calendar"), 0.75, 0.8, False),
        (Gate("roc_auc", ">=", 0.0, relative_to="champion"), 0.75, None, True),
        (Gate("roc_auc", ">=", 0.7, slice="shop"), 0.6, 0.7, False),
        (Gate("roc_auc", "<=", 0.7, slice="shop"), 0.9, 0.7, False),
    ],
)
def test_a_gate_compares_the_value_with_its_limit(judged, gate, value, limit, passed):
    [result] = gate_results([gate], judged)

    assert (result.value, result.limit, result.passed) == (value, limit, passed)


def test_a_slice_without_enough_rows_anywhere_does_not_pass(judged):
    [result] = gate_results([Gate("roc_auc", ">=", 0.1, slice="shop")], replace(judged, slices=[]))

    assert (result.value, result.passed) == (None, False)
    assert result.evidence == "too few values of shop have as many test rows as its minimum_rows asks for"


def test_each_value_of_a_slice_is_compared_with_the_reference_on_the_same_rows(judged):
    hard = [SliceScore("shop", "north", 900, {"roc_auc": 0.85}), SliceScore("shop", "south", 900, {"roc_auc": 0.58})]
    beside = replace(judged, references=judged.references | {"champion": {"roc_auc": 0.8}})
    gate = Gate("roc_auc", ">=", 0.0, slice="shop", relative_to="champion")

    [better_everywhere] = gate_results([gate], replace(beside, reference_slices={"champion": hard}))
    [worse_in_one] = gate_results([gate], replace(beside, reference_slices={"champion": [hard[0], *SLICES[1:]]}))
    north = SliceScore("shop", "north", 900, {"roc_auc": 0.95})
    [worse] = gate_results([gate], replace(beside, reference_slices={"champion": [north, hard[1]]}))

    assert (better_everywhere.passed, worse_in_one.passed, worse.passed) == (True, True, False)
    assert (worse.value, worse.limit, worse.evidence) == (0.9, 0.95, "shop=north")


def test_a_gate_that_compares_with_no_champion_is_passed_and_says_why(judged):
    gate = Gate("roc_auc", ">=", 0.0, slice="shop", relative_to="champion")
    judged = replace(judged, champion_unjudged="no version serves yet")

    [result] = gate_results([gate], judged)
    [without_rows] = gate_results([gate], replace(judged, slices=[]))

    assert (result.value, result.limit, result.passed, without_rows.passed) == (0.6, None, True, True)
    assert result.evidence == without_rows.evidence == "no version serves yet"


def test_a_reference_that_was_not_judged_by_slice_is_told(judged):
    gate = Gate("roc_auc", ">=", 0.0, slice="shop", relative_to="calendar")

    with pytest.raises(GateError, match=r"'calendar', which this model was not judged beside.*larder train"):
        gate_results([gate], replace(judged, reference_slices={}))


def test_the_refusal_names_the_value_of_the_slice(judged):
    with pytest.raises(GateError, match=r"roc_auc of the worst shop is 0.6000, must be >= 0.7000 \(shop=south\)"):
        require_passed(gate_results([Gate("roc_auc", ">=", 0.7, slice="shop")], judged), model="repairs version 3")


def test_a_gate_between_the_values_of_a_slice_is_called_so():
    assert Gate("demographic_parity_ratio", ">=", 0.8, slice="shop").name == "demographic_parity_ratio by shop"


def test_a_metric_that_is_no_number_does_not_pass(judged):
    broken = replace(judged, metrics=judged.metrics | {"log_loss": float("nan")})

    [result] = gate_results([Gate("log_loss", "<=", 9.0)], broken)

    assert not result.passed


def test_the_refusal_names_every_failed_gate_with_value_and_limit(judged):
    results = gate_results([Gate("roc_auc", ">=", 0.7), Gate("roc_auc", ">=", 0.8), Gate("brier", "<=", 0.0)], judged)

    with pytest.raises(GateError) as refusal:
        require_passed(results, model="repairs version 3")

    said = str(refusal.value)
    assert "repairs version 3 is not promoted: roc_auc is 0.7500, must be >= 0.8000; brier is" in said
    assert said.count("Improve the features or the model") == 1


@pytest.mark.parametrize(
    "gate",
    [Gate("auc", ">=", 0.7), Gate("roc_auc", ">=", 0.7, relative_to="rules"), Gate("roc_auc", ">=", 0.7, slice="city")],
    ids=["metric", "reference", "slice"],
)
def test_a_gate_on_something_unknown_is_refused_when_it_is_declared(gate):
    with pytest.raises(ConfigurationError, match=r"Unknown .*possible are \['"):
        shop_objective(gates=(gate,))


def test_the_difference_to_the_champion_comes_with_its_interval(judged):
    gates = [Gate("log_loss", "<=", 0.0, relative_to="champion"), Gate("roc_auc", ">=", 0.5)]
    outcome, better, worse = np.array([0, 1] * 50), np.array([0.1, 0.9] * 50), np.array([0.2, 0.8] * 50)

    [log_loss, roc_auc] = champion_evidence(gate_results(gates, judged), TASK, outcome, better, worse)

    assert log_loss.evidence == "difference -0.1178, 95% interval -0.1178 to -0.1178 on 100 rows"
    assert roc_auc.evidence == ""
