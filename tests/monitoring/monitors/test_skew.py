from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from larder.contracts.monitoring import Monitoring
from monitoring.monitors.skew import MOST_ROWS, Run, differences, skew
from tests.monitoring.library import NOW, PLAN, WINDOW, alarms, answers, answers_table, features

LIMITS = Monitoring()


def recomputed(values: dict[str, list[Any]], **changes: Any) -> Any:
    """A recomputation by book number, as a history would answer."""
    columns = {name: np.array(column, dtype=object) for name, column in (values | changes).items()}

    def recompute(requests: pa.Table) -> pa.Table:
        books = requests["book"].to_numpy()
        return pa.table({name: pa.array(column[books].tolist()) for name, column in columns.items()})

    return recompute


def test_features_that_history_confirms_are_no_skew():
    values = features(np.random.default_rng(1), 500)

    found = skew(WINDOW, answers(answers_table(values)), recomputed(values), [], LIMITS)

    assert alarms(found) == [] and [item.value for item in found] == [0.0] * len(PLAN.columns)


def test_one_differing_value_alarms_and_names_view_and_example():
    values = features(np.random.default_rng(1), 500)
    other = [value + (book == 42) for book, value in enumerate(values["return_count_7d"])]

    found = skew(WINDOW, answers(answers_table(values)), recomputed(values, return_count_7d=other), [], LIMITS)

    assert alarms(found) == [("skew", "return_count_7d", "differing_share")]
    [evidence] = [item.evidence for item in found if item.subject == "return_count_7d"]
    assert "view returns" in evidence and "book=42, branch=branch 0" in evidence
    assert f"logged {other[42] - 1}, recomputed {other[42]}" in evidence


def test_a_feature_that_left_the_service_is_left_out_and_the_others_are_compared():
    values = features(np.random.default_rng(1), 500)
    fewer = {name: column for name, column in values.items() if name != "return_count_7d"}

    found = skew(WINDOW, answers(answers_table(values)), recomputed(fewer), [], LIMITS)

    assert {item.subject for item in found} == {column.name for column in PLAN.columns} - {"return_count_7d"}
    assert alarms(found) == []


def test_history_is_asked_as_of_each_answer_and_for_a_sample_over_the_whole_window():
    values = features(np.random.default_rng(1), 5_000)
    asked = []

    def recompute(requests: pa.Table) -> pa.Table:
        asked.append(requests)
        return recomputed(values)(requests)

    skew(WINDOW, answers(answers_table(values)), recompute, [], LIMITS)

    at = asked[0]["event_timestamp"].to_pylist()
    assert asked[0].column_names == ["book", "branch", "event_timestamp"] and len(at) == MOST_ROWS
    assert at[-1] == NOW and at[0] < NOW - timedelta(hours=23)


def corrected(values: dict[str, list[Any]], until: datetime) -> Any:
    """A recomputation in which the returns of all branches were one more from `until` on."""

    def recompute(requests: pa.Table) -> pa.Table:
        found = recomputed(values)(requests)
        is_known = pc.greater_equal(requests["event_timestamp"], pa.scalar(until, pa.timestamp("us", "UTC")))
        returns = pc.add(found["return_count_7d"], is_known.cast(pa.int64()))
        return found.set_column(found.column_names.index("return_count_7d"), "return_count_7d", returns)

    return recompute


@pytest.mark.parametrize(
    ("ended_after", "lag", "alarmed"),
    [
        (timedelta(minutes=10), timedelta(hours=1), False),
        (timedelta(minutes=9), timedelta(hours=1), True),  # answers after the run still had the old values
        (timedelta(minutes=10), timedelta(minutes=5), True),  # the run took longer than values may be behind
    ],
)
def test_an_answer_given_during_a_run_may_have_the_value_from_before_it(
    ended_after: timedelta, lag: timedelta, alarmed: bool
):
    values = features(np.random.default_rng(1), 144)  # one answer each ten minutes
    until = NOW - timedelta(minutes=10)
    run = Run(until, until + ended_after)

    found = skew(WINDOW, answers(answers_table(values)), corrected(values, until), [run], Monitoring(lag=lag))

    assert bool(alarms(found)) is alarmed


def test_of_several_runs_the_first_that_was_under_way_counts():
    values = features(np.random.default_rng(1), 144)
    until = NOW - timedelta(minutes=10)
    # One that was over by then, one that took the last answer too, and one within it.
    others = [
        (-timedelta(hours=2), timedelta(hours=1)),
        (timedelta(0), timedelta(minutes=10)),
        (timedelta(minutes=5),) * 2,
    ]
    runs = [Run(until + begun, until + begun + took) for begun, took in others]

    for order in (runs, runs[::-1]):
        assert alarms(skew(WINDOW, answers(answers_table(values)), corrected(values, until), order, LIMITS)) == []
    without = [runs[0], runs[2]]
    assert alarms(skew(WINDOW, answers(answers_table(values)), corrected(values, until), without, LIMITS))


def test_a_value_from_neither_before_nor_after_a_run_is_skew():
    values = features(np.random.default_rng(1), 144)
    logged = {**values, "return_count_7d": [*values["return_count_7d"][:-1], 99]}
    run = Run(NOW - timedelta(minutes=5), NOW)

    found = skew(WINDOW, answers(answers_table(logged)), corrected(values, run.until), [run], LIMITS)

    assert alarms(found) == [("skew", "return_count_7d", "differing_share")]


@pytest.mark.parametrize(
    ("logged", "history", "differs"),
    [
        (pa.array([None, 1.5, float("nan")], pa.float64()), [None, 1.5, None], [False, False, False]),
        (pa.array([None, 1.5], pa.float64()), [0.0, None], [True, True]),
        (pa.array([0.1], pa.float32()), [0.1], [False]),
        (pa.array([0.1], pa.float64()), [float(np.float32(0.1))], [True]),
        (pa.array([3, None], pa.int64()), [3.0, None], [False, False]),
        (pa.array(["a", None, "b"]), ["a", None, None], [False, False, True]),
        (pa.array([True, None]), [True, False], [False, True]),
    ],
)
def test_values_differ_as_the_model_would_tell_them_apart(logged: pa.Array, history: list[Any], differs: list[bool]):
    found = differences(pa.chunked_array([logged]), pa.chunked_array([pa.array(history)]))

    assert found.tolist() == differs
