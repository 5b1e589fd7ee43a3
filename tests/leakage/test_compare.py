"""Verdicts over features whose leak was planted, or was not."""

import numpy as np
import polars as pl
import pytest

from larder.leakage.compare import FeatureLeakage, FeatureValues, Limits, Verdict, feature_leakage

ROWS = 2000
draw = np.random.default_rng(11)
outcome = draw.random(ROWS) < 0.3
honest = outcome + draw.normal(0, 2, ROWS)
hindsight = outcome + draw.normal(0, 1, ROWS)
noise, other_noise = draw.normal(0, 1, ROWS), draw.normal(0, 1, ROWS)


def judged(event_time, training, known_time, unknown: str = "", limits: Limits | None = None) -> FeatureLeakage:
    three = (pl.Series("feature", values) for values in (event_time, training, known_time))
    return feature_leakage("feature", FeatureValues(*three, unknown), outcome, limits or Limits())


def test_a_planted_leak_is_found():
    found = judged(hindsight, hindsight, honest)

    assert found.verdict == Verdict.LEAK
    assert found.differ_in_training == 1.0
    assert found.auc_training == found.auc_event_time > found.auc_known_time + 0.05
    assert found.gain.gain == found.auc_training - found.auc_known_time
    assert "100.0% of the training values were not known yet" in found.reason


def test_a_leak_in_a_tenth_of_the_rows_is_found():
    mixed = np.where(np.arange(ROWS) % 10 == 0, 5.0 * outcome, honest)

    found = judged(mixed, mixed, honest)

    assert (found.verdict, found.differ_in_training) == (Verdict.LEAK, 0.1)


def test_a_value_that_exists_only_once_the_outcome_is_known_is_a_leak():
    presence = pl.Series([1.0 if late else None for late in outcome])

    assert judged(presence, presence, pl.Series([None] * ROWS, dtype=pl.Float64)).verdict == Verdict.LEAK


def test_a_feature_that_training_has_as_it_was_known_is_clean():
    found = judged(honest, honest, honest)

    assert found.verdict == Verdict.CLEAN
    assert found.differ_in_training == found.differ_by_event_time == found.gain.gain == found.gain.error == 0.0


def test_a_join_by_event_time_does_not_matter_where_training_does_not_make_it():
    found = judged(hindsight, honest, honest)

    assert found.verdict == Verdict.CLEAN
    assert found.differ_by_event_time == 1.0
    assert found.auc_event_time > found.auc_training
    assert "by event time 100.0% would differ" in found.reason


def test_a_useless_feature_that_differs_helps_nobody():
    found = judged(noise, noise, other_noise)

    assert found.verdict == Verdict.DIFFERS
    assert found.differ_in_training == 1.0


def test_a_training_set_that_knows_less_than_serving_is_no_leak():
    assert judged(honest, honest, hindsight).verdict == Verdict.DIFFERS


def test_where_nothing_says_when_values_were_known_nothing_is_called_clean():
    found = judged(honest, honest, honest, unknown="no known time recorded")

    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "no known time recorded")


def test_a_gain_too_small_to_matter_is_no_leak():
    assert judged(hindsight, hindsight, honest, limits=Limits(minimum_gain=0.5)).verdict == Verdict.DIFFERS


def test_noise_is_not_called_leakage():
    """Of 200 pairs of noise none leaks, though one of them always ranks better than the other."""
    chance = np.random.default_rng(13)
    pairs = ((chance.normal(0, 1, ROWS), chance.normal(0, 1, ROWS)) for _ in range(200))

    assert [one for one, two in pairs if judged(one, one, two).verdict == Verdict.LEAK] == []


def test_the_last_digit_of_a_sum_is_no_difference():
    found = judged(honest, honest, honest * (1 + 1e-15) + 1e-16)

    assert (found.verdict, found.differ_in_training) == (Verdict.CLEAN, 0.0)


@pytest.mark.parametrize("values", [["a", "b"] * 1000, [True, False] * 1000, [1, None] * 1000])
def test_text_flags_and_whole_numbers_are_compared_too(values):
    others = list(reversed(values))

    assert judged(values, values, values).verdict == Verdict.CLEAN
    assert judged(values, values, others).differ_in_training == 1.0
