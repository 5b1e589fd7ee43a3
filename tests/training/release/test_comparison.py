"""The interval that promotion and rollback are decided by."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss

from larder.contracts.retraining import Release
from larder.evaluation import task_of
from tests.training.shop import shop_objective
from training.release.comparison import Comparison, Interval, paired_interval
from training.release.decision import described


def test_log_losses_average_to_scikit_learns():
    outcome, predicted = np.array([1, 0, 1], np.int8), np.array([0.9, 0.2, 0.0])

    found = task_of(shop_objective()).losses(outcome, predicted)["log_loss"]
    assert found.mean() == pytest.approx(log_loss(outcome, predicted))


def test_one_day_says_nothing_of_other_days():
    found = paired_interval(np.array([0.1, 0.2]), np.array([3, 3]), 0.9)

    assert (found.mean, found.low, found.high) == (pytest.approx(0.15), -np.inf, np.inf)


def test_the_interval_is_students_over_equal_days():
    """With as many rows each day the mean of the days is the mean of the rows."""
    differences = np.random.default_rng(0).normal(0.1, 1, 60)
    days = np.repeat(np.arange(10), 6)

    found = paired_interval(differences, days, 0.9)

    low, high = stats.ttest_1samp(differences.reshape(10, 6).mean(axis=1), 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rows_of_a_day_that_go_together_do_not_pretend_to_be_many():
    day = np.random.default_rng(1).normal(0, 1, 10)
    differences, days = np.repeat(day, 100), np.repeat(np.arange(10), 100)

    by_day = paired_interval(differences, days, 0.95)

    assert by_day.high - by_day.low > 5 * 2 * 1.96 * differences.std() / np.sqrt(len(differences))


def test_of_one_day_the_sentence_gives_no_interval():
    known: dict[str, Any] = {"loss": "log_loss", "answered": 200, "unjudged": "", "newer": {}, "older": {}}
    one = Comparison(rows=100, days=1, difference=Interval(-0.0004, -math.inf, math.inf), slices={}, **known)
    two = Comparison(rows=200, days=2, difference=Interval(-0.0004, -0.01, 0.01), slices={}, **known)

    first, second = (described(found, Release(), newer="2", older="1") for found in (one, two))

    assert first.endswith("-0.0004 (0.0030 is tolerated), on 100 requests of one day, which tells nothing about chance")
    assert second.endswith("95% interval -0.0100 to +0.0100 (0.0030 is tolerated), on 200 requests of 2 days")
