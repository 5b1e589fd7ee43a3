"""Whether the values of a protected slice are treated alike, on rows that one can check in the head."""

import numpy as np
import pyarrow as pa
import pytest

from larder.contracts.errors import ConfigurationError
from larder.contracts.objective import Gate, Slice
from larder.evaluation import evaluation
from larder.evaluation.fairness import fairness
from tests.training.shop import shop_objective
from tests.training.solder import solder_objective
from training.gates import gate_results

SHOP = Slice("shop", "shop", minimum_rows=4, is_protected=True)
ROWS = pa.table(
    {
        "shop": ["north"] * 4 + ["south"] * 4 + ["east"],
        "came_back": [1, 1, 0, 0, 1, 1, 0, 0, 1],
        "solder_g": [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 9.0],
    }
)
OUTCOME = ROWS["came_back"].to_numpy()
# North: both found, no false alarm, 2 of 4 acted on. South: one found, no false alarm, 1 of 4. East is too small.
PREDICTED = np.array([0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.0])


def test_shares_of_decisions_and_of_errors_are_compared():
    found = fairness(shop_objective(slices=(SHOP,), gates=()), ROWS, OUTCOME, PREDICTED)

    assert found == {"shop": {"demographic_parity_ratio": 0.5, "equalized_odds_difference": 0.5}}


def test_errors_of_numbers_are_compared():
    outcome = ROWS["solder_g"].to_numpy()
    predicted = outcome + np.array([1, -1, 1, -1, 2, 2, 2, 2, 50])

    found = fairness(solder_objective(slices=(SHOP,), gates=()), ROWS, outcome, predicted)

    assert found == {"shop": {"mae_difference": 1.0, "bias_difference": 2.0}}


def test_where_nobody_is_acted_upon_all_are_treated_alike():
    found = fairness(shop_objective(slices=(SHOP,), gates=()), ROWS, OUTCOME, np.zeros(9))

    assert found["shop"]["demographic_parity_ratio"] == 1.0


def test_one_value_alone_and_what_is_not_protected_are_not_compared():
    whole = Slice("shop", "shop", minimum_rows=5, is_protected=True)
    plain = Slice("shop", "shop", minimum_rows=1)

    assert fairness(shop_objective(slices=(whole,), gates=()), ROWS, OUTCOME, PREDICTED) == {}
    assert fairness(shop_objective(slices=(plain,), gates=()), ROWS, OUTCOME, PREDICTED) == {}


@pytest.mark.parametrize(("limit", "passed"), [(0.5, True), (0.8, False)])
def test_a_gate_may_ask_for_it(limit: float, passed: bool):
    gate = Gate("demographic_parity_ratio", ">=", limit, slice="shop")
    objective = shop_objective(slices=(SHOP,), gates=(gate,))

    [found] = gate_results([gate], evaluation(objective, ROWS, PREDICTED, {}))

    assert (found.value, found.passed) == (0.5, passed)


def test_a_gate_fails_where_nothing_could_be_compared():
    gate = Gate("equalized_odds_difference", "<=", 1.0, slice="shop")
    objective = shop_objective(slices=(Slice("shop", "shop", is_protected=True),), gates=(gate,))

    [found] = gate_results([gate], evaluation(objective, ROWS, PREDICTED, {}))

    assert (found.value, found.passed) == (None, False)


@pytest.mark.parametrize(
    "gate",
    [
        Gate("demographic_parity_ratio", ">=", 0.8),
        Gate("demographic_parity_ratio", ">=", 0.8, slice="city"),
        Gate("demographic_parity_ratio", ">=", 0.0, slice="shop", relative_to="champion"),
    ],
    ids=["no slice", "not protected", "relative"],
)
def test_a_gate_that_cannot_be_meant_is_refused_when_it_is_declared(gate: Gate):
    with pytest.raises(ConfigurationError, match="compares the values of one protected slice"):
        shop_objective(slices=(SHOP, Slice("city", "city")), gates=(gate,))
