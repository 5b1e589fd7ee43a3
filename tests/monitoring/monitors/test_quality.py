import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from larder.contracts.monitoring import Baseline, Monitoring, Verdict
from larder.predictions import Judged
from monitoring.monitors.expected import expectation, expected_against_actual, expected_quality
from monitoring.monitors.labels import labels
from monitoring.monitors.quality import Judge, quality
from monitoring.monitors.resampling import samples
from tests.monitoring.library import (
    OBJECTIVE,
    TASK,
    WINDOW,
    alarms,
    answers_table,
    baseline,
    features,
    probabilities,
    unknown,
)  # fmt: skip

USUAL = baseline()
LIMITS = Monitoring()
ROWS = 3_000


def judge(usual: Baseline | None = USUAL, limits: Monitoring = LIMITS) -> Judge:
    return Judge(WINDOW, OBJECTIVE, limits, lambda version: usual, lambda version: {})


def outcome_rows(
    outcome_of: Callable[[np.random.Generator, Any], Any], *, rows: int = ROWS, seed: int = 6, version: str = "1"
) -> pa.Table:
    """A week of answers beside what came of them, as `judged` returns them."""
    random = np.random.default_rng(seed)
    predicted = probabilities(random, rows)
    table = answers_table(features(random, rows), predicted=predicted, version=version, length=timedelta(days=7))
    table = table.append_column("outcome", pa.array(outcome_of(random, predicted), pa.int8()))
    return table.append_column("label_branch", table["request"].combine_chunks().field("branch"))


def as_predicted(random: np.random.Generator, predicted: Any) -> Any:
    return (random.random(len(predicted)) < predicted).astype(np.int8)


def by_chance(random: np.random.Generator, predicted: Any) -> Any:
    return (random.random(len(predicted)) < 0.2).astype(np.int8)


def test_answers_of_a_single_hour_do_not_tell_the_quality_however_many_they_are():
    rows = outcome_rows(by_chance)
    at = pa.array([rows["at"][0].as_py()] * rows.num_rows, rows["at"].type)
    rows = rows.set_column(rows.column_names.index("at"), "at", at)

    found = quality(judge(), rows)

    assert alarms(found) == []
    assert ("quality", "live", "rows") in unknown(found)
    assert "given in 1 different hours" in found[0].evidence


def test_a_model_that_keeps_its_promise_does_not_alarm():
    assert alarms(quality(judge(), outcome_rows(as_predicted))) == []


def test_a_model_that_has_lost_its_skill_alarms_in_every_metric_and_slice():
    found = set(alarms(quality(judge(), outcome_rows(by_chance))))

    assert {("quality", "1", metric) for metric in ("roc_auc", "log_loss", "brier", "kpi")} <= found
    assert {("quality", f"branch=branch {place}", "roc_auc") for place in (0, 1)} <= found


@pytest.mark.parametrize("outcome_of", [as_predicted, by_chance])
def test_the_evidence_shows_the_interval_that_decided(outcome_of: Callable[[np.random.Generator, Any], Any]):
    found = [item for item in quality(judge(), outcome_rows(outcome_of)) if item.metric in ("log_loss", "brier", "kpi")]
    judged = [item for item in found if item.limit is not None]

    for item in judged:
        (least,) = re.findall(r"that is (\d+\.\d\d) to \d+\.\d\d times", item.evidence)
        assert (float(least) > 1.05) is (item.verdict is Verdict.ALARM)
    assert len(judged) == 6


def test_a_harder_week_for_everybody_is_no_decay():
    """Twice as many late books, ranked and foretold as well as before: log loss rises, its share of chance does not."""

    random = np.random.default_rng(2)
    predicted = random.beta(2, 2.9, ROWS)
    table = outcome_rows(as_predicted)
    outcome = as_predicted(random, predicted)
    table = table.set_column(table.column_names.index("probability"), "probability", pa.array(predicted))
    table = table.set_column(table.column_names.index("outcome"), "outcome", pa.array(outcome, pa.int8()))
    reached = {"log_loss": 0.45, "roc_auc": 0.72, "brier": 0.145, "kpi": 0.5}
    usual = replace_metrics(USUAL, reached)

    found = {(item.subject, item.metric): item for item in quality(judge(usual), table)}

    assert found["live", "log_loss"].value > reached["log_loss"] * 1.05
    assert alarms(list(found.values())) == []


def replace_metrics(usual: Baseline, values: dict[str, float]) -> Baseline:
    return Baseline(**{name: getattr(usual, name) for name in usual.__struct_fields__} | {"metrics": values})


@pytest.mark.parametrize("outcome", [0, 1])
def test_with_one_class_only_nothing_can_be_told(outcome: int):
    rows = outcome_rows(lambda random, predicted: np.full(len(predicted), outcome))

    assert set(unknown(quality(judge(), rows))) == {("quality", "1", "rows"), ("quality", "live", "rows")}
    assert unknown(expected_against_actual(WINDOW, rows, TASK)) == [("expected_quality", "live", "outcomes")]


def test_without_outcomes_or_with_few_nothing_can_be_told():
    none = outcome_rows(lambda random, predicted: [None] * len(predicted))
    few = outcome_rows(as_predicted, rows=299)

    assert unknown(quality(judge(), none)) == [("quality", "live", "rows")]
    assert ("quality", "1", "rows") in unknown(quality(judge(), few))


def test_without_a_baseline_quality_is_reported_and_not_judged():
    found = quality(judge(None), outcome_rows(by_chance))

    assert alarms(found) == [] and ("quality", "1", "baseline") in unknown(found)
    assert {item.metric for item in found if item.subject == "1" and item.value is not None} == {
        "outcomes", "roc_auc", "log_loss", "brier", "kpi", "calibration_error"
    }  # fmt: skip


def test_each_version_is_judged_by_its_own_baseline():
    rows = pa.concat_tables([outcome_rows(by_chance, version="1"), outcome_rows(as_predicted, version="2")])
    of_version = {"1": replace_metrics(USUAL, {"roc_auc": 0.5, "log_loss": 0.9, "brier": 0.5, "kpi": 0.9}), "2": USUAL}

    found = alarms(quality(replace(judge(), baseline_of=of_version.__getitem__), rows))

    assert {subject for _, subject, _ in found} <= {"live"}


def test_samples_scatter_about_the_metric_itself():
    random = np.random.default_rng(3)
    predicted = probabilities(random, ROWS)
    outcome = as_predicted(random, predicted)

    drawn = samples(TASK, outcome, predicted, np.arange(ROWS) // 18)

    assert drawn.roc_auc is not None
    assert np.median(drawn.roc_auc) == pytest.approx(roc_auc_score(outcome, predicted), abs=0.003)
    assert np.median(drawn.constant["brier"]) == pytest.approx(outcome.mean() * (1 - outcome.mean()), abs=0.003)
    assert 0.008 < drawn.roc_auc.std() < 0.014  # as long as rows are independent, sqrt(1 / rows) of them


@pytest.mark.parametrize(("metric", "worst"), [("log_loss", np.log(2)), ("brier", 0.25), ("kpi", 0.8)])
def test_what_a_constant_loses_is_greatest_where_nothing_is_known(metric: str, worst: float):
    outcomes = [np.repeat([1, 0], [true, 10 - true]) for true in (0, 2, 5, 10)]
    losses = [TASK.constant_losses(outcome)[metric].mean() for outcome in outcomes]

    assert max(losses) == pytest.approx(worst) and losses[0] == pytest.approx(0, abs=1e-9)


def test_expected_quality_of_a_calibrated_model_is_what_comes():
    rows = outcome_rows(as_predicted, rows=20_000)

    gaps = {item.metric: item.value for item in expected_against_actual(WINDOW, rows, TASK)}

    assert gaps == pytest.approx({"log_loss_gap": 0, "brier_gap": 0, "roc_auc_gap": 0, "kpi_gap": 0}, abs=0.015)


def test_expected_quality_weighs_each_answer_as_both_outcomes():
    assert expectation(TASK, np.array([0.5, 0.5]))["log_loss"] == pytest.approx(np.log(2))
    assert expectation(TASK, np.array([1.0, 0.0, 1.0])) == pytest.approx(
        {"log_loss": 0, "brier": 0, "kpi": 0, "roc_auc": 1}
    )
    assert "roc_auc" not in expectation(TASK, np.zeros(3))
    assert unknown(expected_quality(WINDOW, np.array([]), TASK)) == [("expected_quality", "live", "rows")]


@pytest.mark.parametrize(("settled", "is_alarm"), [(1_000, False), (900, False), (850, True)])
def test_coverage_alarms_once_surely_too_few_answers_are_settled(settled: int, is_alarm: bool):
    table = answers_table(features(np.random.default_rng(0), 1_000))
    outcome = pa.array([1] * (settled - 10) + [None] * (1_010 - settled), pa.int8())
    # Of ten more it is known that they have none.
    known_at = pa.array([WINDOW.end] * settled + [None] * (1_000 - settled), pa.timestamp("us", "UTC"))
    rows = table.append_column("outcome", outcome).append_column("outcome_known_at", known_at)

    coverage, outcomes = labels(WINDOW, Judged(rows, ambiguous=3), 70, "late_books", LIMITS)

    assert bool(alarms([coverage])) is is_alarm and coverage.value == settled / 1_000
    assert "3 fit several labels, 70 younger" in coverage.evidence and outcomes.value == settled - 10


def test_where_no_answer_is_old_enough_coverage_cannot_be_told():
    rows = answers_table(features(np.random.default_rng(0), 0))
    rows = rows.append_column("outcome", pa.nulls(0, pa.int8()))

    [found] = labels(WINDOW, Judged(rows, 0), 25, "late_books", LIMITS)

    assert unknown([found]) and "25 wait" in found.evidence
