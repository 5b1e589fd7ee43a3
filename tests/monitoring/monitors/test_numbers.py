"""The library predicts a number: for how many days a book stays out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from larder.contracts.monitoring import Baseline, Finding, Monitoring
from larder.contracts.objective import REGRESSION, ErrorKpi, NumberLabel, Objective
from larder.contracts.tables import Lake
from larder.evaluation import task_of
from larder.findings import append_findings
from larder.predictions import judged
from monitoring.monitors.answers import Answers, ServedModel
from monitoring.monitors.drift import drift
from monitoring.monitors.quality import Judge, quality
from monitoring.reports.monitoring_page import write_monitoring_page
from monitoring.run import run_monitors
from tests.monitoring import library
from tests.monitoring.library import (
    MODEL,
    NOW,
    PLAN,
    WINDOW,
    alarms,
    answers_table,
    features,
    number_baseline,
    settings_of,
    unknown,
    write_answers,
    write_model,
)

ROWS = 3_000
LIMITS = Monitoring()
OBJECTIVE: Objective = replace(
    library.OBJECTIVE,
    label=NumberLabel("loans", "days_out", unit="days"),
    kpi=ErrorKpi("shelf", "EUR per loan", too_low=2.0, too_high=1.0, description="An empty place, or a book too few"),
)
TASK = task_of(OBJECTIVE)


def predictions(random: np.random.Generator, rows: int) -> Any:
    return random.gamma(4, 5, rows)


def as_predicted(random: np.random.Generator, predicted: Any) -> Any:
    return predicted + random.normal(0, 4, len(predicted))


def by_chance(random: np.random.Generator, predicted: Any) -> Any:
    return random.permutation(as_predicted(random, predicted))


def days_late(random: np.random.Generator, predicted: Any) -> Any:
    """A strike: all books stay out three days longer than the model knows."""
    return as_predicted(random, predicted) + 3


def _baseline(seed: int = 1, rows: int = 20_000) -> Baseline:
    random = np.random.default_rng(seed)
    predicted = predictions(random, rows)
    outcome = as_predicted(random, predicted)
    return msgspec.structs.replace(
        library.baseline(),
        prediction=number_baseline(predicted),
        metrics=TASK.metrics(outcome, predicted),
        constant={name: float(of_rows.mean()) for name, of_rows in TASK.constant_losses(outcome).items()},
    )


USUAL = _baseline()


def number_answers(random: np.random.Generator, predicted: Any, *, version: str = "1", **others: Any) -> pa.Table:
    table = answers_table(features(random, len(predicted)), version=version, **others)
    return table.drop_columns(["probability"]).append_column("prediction", pa.array(predicted))


def outcome_rows(outcome_of: Callable[[np.random.Generator, Any], Any], *, rows: int = ROWS) -> pa.Table:
    random = np.random.default_rng(6)
    predicted = predictions(random, rows)
    table = number_answers(random, predicted, length=timedelta(days=7))
    table = table.append_column("outcome", pa.array(outcome_of(random, predicted), pa.float64()))
    return table.append_column("label_branch", table["request"].combine_chunks().field("branch"))


def judge(usual: Baseline | None = USUAL) -> Judge:
    return Judge(WINDOW, OBJECTIVE, LIMITS, lambda version: usual, lambda version: {})


def by_metric(findings: list[Finding], subject: str = "live") -> dict[str, Finding]:
    return {item.metric: item for item in findings if item.subject == subject}


def test_a_model_as_good_as_ever_does_not_alarm():
    assert alarms(quality(judge(), outcome_rows(as_predicted))) == []


def test_a_model_that_has_lost_its_skill_alarms_in_every_loss_and_slices_are_reported():
    found = quality(judge(), outcome_rows(by_chance))

    assert {("quality", subject, metric) for subject in ("1", "live") for metric in ("mae", "kpi")} == set(
        alarms(found)
    )
    for place in (0, 1):
        shown = by_metric(found, f"branch=branch {place}")
        assert shown["mae"].value > 8 and shown["mae"].limit is None


def test_a_constant_error_alarms_and_is_told_as_bias():
    found = quality(judge(), outcome_rows(days_late))

    assert ("quality", "live", "mae") in alarms(found)
    assert by_metric(found)["bias"].value == pytest.approx(-3, abs=0.3)
    assert "the best constant answer would have" in by_metric(found)["mae"].evidence


def test_larger_numbers_are_wrong_by_more_and_no_decay():
    """Twice as large as in training, and so are the errors of model and constant: the share of both stays."""
    rows = outcome_rows(as_predicted)
    for name in ("prediction", "outcome"):
        doubled = pa.array(rows[name].to_numpy() * 2)
        rows = rows.set_column(rows.column_names.index(name), name, doubled)

    found = quality(judge(), rows)

    assert by_metric(found)["mae"].value > 1.8 * USUAL.metrics["mae"] and alarms(found) == []


def test_without_a_baseline_and_with_few_or_equal_outcomes_nothing_is_judged():
    assert alarms(quality(judge(None), outcome_rows(by_chance))) == []
    assert ("quality", "1", "rows") in unknown(quality(judge(), outcome_rows(as_predicted, rows=200)))
    [said] = [
        item.evidence
        for item in quality(judge(), outcome_rows(lambda random, predicted: np.full(len(predicted), 7.0)))
        if item.subject == "live"
    ]
    assert "1 different ones" in said


@pytest.mark.parametrize(("moved", "is_alarm"), [(0.05, False), (8.0, True)])
def test_drift_alarms_where_the_answers_move_by_a_tenth_of_their_deviation(moved: float, is_alarm: bool):
    random = np.random.default_rng(2)
    values = features(random, 2_000)
    values["return_count_7d"] = [count + 9 for count in values["return_count_7d"]]
    table = answers_table(values).drop_columns(["probability"])
    table = table.append_column("prediction", pa.array(predictions(random, 2_000)))
    bins = len(USUAL.numbers["return_count_7d"].edges) + 1
    # The more returns, the longer: from the first bin to the last the answers move by so many days.
    dependence = {"return_count_7d": [*np.linspace(20, 20 + moved, bins).tolist(), 20.0]}
    usual = msgspec.structs.replace(USUAL, dependence=dependence)

    found = drift(WINDOW, Answers(table, ServedModel("1", PLAN, usual, REGRESSION)), usual, LIMITS)

    assert (("drift", "return_count_7d", "psi") in alarms(found)) is is_alarm


def test_a_run_of_all_monitors_reads_numbers_from_log_and_labels(tmp_path: Path):
    settings, random = settings_of(tmp_path), np.random.default_rng(5)
    write_model(settings, USUAL, task=REGRESSION, label=OBJECTIVE.label.column)
    answered = pa.concat_tables(
        number_answers(random, predictions(random, 400), end=NOW - timedelta(days=day), first_book=day * 400)
        for day in range(10)
    )
    write_answers(settings, answered)
    write_deltalake(Lake(settings.lake).labels("loans"), _labels(random, answered))

    found = run_monitors(settings, OBJECTIVE, LIMITS, model=MODEL, now=NOW, views=None, recompute=None)

    live = by_metric([item for item in found if item.monitor == "quality"])
    assert alarms(found) == [] and live["mae"].limit is not None and live["outcomes"].value == 2_800
    assert {item.monitor for item in found}.isdisjoint({"expected_quality"})
    append_findings(Lake(settings.lake).monitoring(MODEL), found)
    page = write_monitoring_page(settings, MODEL, OBJECTIVE, NOW).read_text()
    assert "Whether numbers hold" in page and "mean outcome" in page


def test_an_outcome_is_the_number_itself_known_by_now(tmp_path: Path):
    settings, random = settings_of(tmp_path), np.random.default_rng(5)
    answered = number_answers(random, predictions(random, 50))
    labels = _labels(random, answered)
    write_deltalake(Lake(settings.lake).labels("loans"), labels)

    found = judged(answered, Lake(settings.lake).labels("loans"), "days_out", now=NOW).rows

    assert found["outcome"].null_count == 13  # of the last six hours nothing is known yet
    assert found["outcome"].drop_null().to_pylist() == labels["days_out"].to_pylist()[:37]


def _labels(random: np.random.Generator, answered: pa.Table) -> pa.Table:
    request = answered["request"].combine_chunks()
    return pa.table(
        {
            "book": request.field("book"),
            "branch": request.field("branch"),
            "event_timestamp": answered["at"],
            "days_out": as_predicted(random, answered["prediction"].to_numpy()),
            "known_at": pa.array(
                [at + timedelta(hours=6) for at in answered["at"].to_pylist()], pa.timestamp("us", "UTC")
            ),
        }
    )
