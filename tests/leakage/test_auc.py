"""The ranking of single columns, small enough to check in the head."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from larder.leakage.auc import Ranking, gain, ranking, single_feature

YES_NO = np.array([True, True, False, False])


def auc(*values: object, outcome: np.ndarray = YES_NO) -> float:
    return single_feature(pl.Series("feature", values, strict=False), outcome).auc


def test_a_column_that_ranks_perfectly_has_one_in_either_direction():
    assert auc(4.0, 3.0, 2.0, 1.0) == auc(1.0, 2.0, 3.0, 4.0) == 1.0


def test_a_constant_column_ranks_nothing():
    assert auc(7.0, 7.0, 7.0, 7.0) == 0.5
    assert auc(None, None, None, None) == 0.5


def test_equal_values_count_half():
    # Of four pairs three are in order and one is equal.
    assert auc(3.0, 2.0, 2.0, 1.0) == 7 / 8


def test_a_null_ranks_at_the_end_that_tells_more():
    assert auc(1.0, 1.0, None, None) == 1.0
    assert auc(2.0, None, 1.0, None) == 5 / 8


def test_nan_is_a_null_and_a_flag_a_number():
    assert auc(1.0, 1.0, float("nan"), None) == 1.0
    assert auc(True, True, False, False) == 1.0


def test_text_is_ranked_by_what_the_other_half_of_the_rows_says_of_it():
    outcome = np.array([True, True, False, False] * 2)

    assert auc(*["late", "late", "early", "early"] * 2, outcome=outcome) == 1.0
    # A level of its own per row would look perfect to whoever counts the row itself.
    assert auc(*"abcdefgh", outcome=outcome) == 0.5


def test_the_ranking_is_that_of_scikit_learn():
    draw = np.random.default_rng(3)
    scores, outcome = draw.integers(0, 9, 500).astype(float), draw.random(500) < 0.3

    assert ranking(scores, outcome).auc == pytest.approx(roc_auc_score(outcome, scores), abs=1e-12)


def test_the_error_is_what_repetition_shows():
    """Over 300 draws the AUC scatters as each draw's own error says, within a fifth."""
    draw, found, errors = np.random.default_rng(5), [], []
    for _ in range(300):
        outcome = draw.random(1000) < 0.3
        single = ranking(outcome + draw.normal(0, 1.5, 1000), outcome)
        found.append(single.auc)
        errors.append(gain(single, Ranking(0.5, np.zeros(1000))).error)

    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.2)


def test_rows_of_one_day_are_no_independent_witnesses():
    """A hundred copies of each row, one after the other, say as much as the row alone."""
    draw = np.random.default_rng(7)
    outcome = draw.random(100) < 0.4
    first, second = outcome + draw.normal(0, 1, 100), draw.normal(0, 1, 100)

    def error(copies: int) -> float:
        rows = (np.repeat(values, copies) for values in (first, second, outcome))
        one, other, truth = rows
        return gain(ranking(one, truth), ranking(other, truth)).error

    assert error(100) > 0.7 * error(1)


def test_the_same_ranking_gains_exactly_nothing():
    single = ranking(np.array([3.0, 1.0, 2.0, 0.0]), YES_NO)

    assert gain(single, single).gain == gain(single, single).error == 0.0
