from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from larder.contracts.monitoring import Baseline, Monitoring, StringBaseline
from monitoring.monitors.data import absent, categories, nulls, out_of_range
from tests.monitoring.library import WINDOW, alarms, answers, answers_table, baseline, features

USUAL = baseline()
LIMITS = Monitoring()


def values(rows: int = 400, **changes: list[Any]) -> dict[str, list[Any]]:
    return features(np.random.default_rng(3), rows) | changes


def names(feature: str, count: int, rows: int = 400) -> list[list[str]]:
    return [[feature]] * count + [[]] * (rows - count)


def test_nulls_alarm_once_they_are_surely_more_than_training_had_and_may_rise():
    given = values()["pages"]
    usual, more = answers_table(values()), answers_table(values(pages=[None] * 160 + given[160:]))

    assert alarms(nulls(WINDOW, answers(usual), USUAL, LIMITS)) == []
    assert alarms(nulls(WINDOW, answers(more), USUAL, LIMITS)) == [("nulls", "pages", "null_share")]


def test_nulls_that_some_windows_of_training_had_as_well_are_usual():
    often = msgspec.structs.replace(USUAL, usual={"pages": {"null_share": 0.4}})
    table = answers_table(values(pages=[None] * 160 + values()["pages"][160:]))

    assert alarms(nulls(WINDOW, answers(table), often, LIMITS)) == []


def test_an_empty_string_counts_as_null_because_the_model_sees_the_same():
    table = answers_table(values(genre=[""] * 200 + ["crime"] * 200))

    assert alarms(nulls(WINDOW, answers(table), USUAL, LIMITS)) == [("nulls", "genre", "null_share")]


def test_missing_and_stale_values_count_together_as_absent():
    table = answers_table(values(), missing=names("pages", 80), stale=names("pages", 80)[::-1])

    [found] = [item for item in absent(WINDOW, answers(table), USUAL, LIMITS) if item.subject == "pages"]

    assert alarms([found]) == [("absent", "pages", "absent_share")]
    assert found.value == 0.4 and "80 missing, 80 stale" in found.evidence


def test_values_that_leap_far_out_of_range_alarm_and_those_that_pass_it_a_little_do_not():
    high = USUAL.numbers["pages"].quantiles[-1]
    a_little = answers_table(values(pages=[None] * 300 + [300.0] * 60 + [1.2 * high] * 40))
    far = answers_table(values(pages=[None] * 300 + [300.0] * 60 + [60 * high] * 40))

    [found] = [item for item in out_of_range(WINDOW, answers(far), USUAL, LIMITS) if item.subject == "pages"]

    assert found.value == 0.4 and alarms([found]) == [("out_of_range", "pages", "out_of_range_share")]
    assert alarms(out_of_range(WINDOW, answers(a_little), USUAL, LIMITS)) == []


def test_categories_that_training_never_saw_are_named():
    table = answers_table(values(genre=["crime"] * 350 + ["manga"] * 50))

    [found] = categories(WINDOW, answers(table), USUAL, LIMITS)

    assert alarms([found]) == [("categories", "genre", "unseen_share")] and "'manga'" in found.evidence


def test_where_training_saw_many_values_once_new_ones_are_to_be_expected():
    once: Baseline = msgspec.structs.replace(
        USUAL, strings={"genre": StringBaseline({"crime": 500} | {f"genre {i}": 1 for i in range(500)}, 0)}
    )
    table = answers_table(values(genre=["crime"] * 200 + [f"new {i}" for i in range(200)]))

    assert alarms(categories(WINDOW, answers(table), once, LIMITS)) == []


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_handful_of_bad_rows_is_no_alarm(rows: int):
    table = answers_table(values(rows, pages=[None] * rows, genre=["manga"] * rows), missing=names("pages", rows, rows))
    strict = replace(LIMITS, false_alarms=0.001)

    found = [
        *nulls(WINDOW, answers(table), USUAL, strict),
        *absent(WINDOW, answers(table), USUAL, strict),
        *categories(WINDOW, answers(table), USUAL, strict),
    ]

    assert alarms([item for item in found if item.monitor != "categories"]) == []
