"""A run of all monitors over real Delta tables: what is usual stays quiet, what is wrong is named, nothing is lost."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from larder.contracts.monitoring import ALARMING, Finding, Monitoring, Verdict
from larder.contracts.objective import REGRESSION, ErrorKpi, NumberLabel, Objective
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.findings import append_findings, read_findings
from larder.ledger import Act, Ledger, ledger_of
from monitoring.monitors.freshness import ViewState
from monitoring.monitors.skew import Recompute
from monitoring.monitors.window import Window
from monitoring.run import record, run_monitors
from tests.monitoring.library import (
    KPI,
    MODEL,
    NOW,
    OBJECTIVE,
    alarms,
    answers_table,
    baseline,
    features,
    labels_table,
    probabilities,
    settings_of,
    unknown,
    write_answers,
    write_labels,
    write_model,
)

DAY = timedelta(days=1)
FRESH = (ViewState("books", NOW - DAY, NOW), ViewState("returns", NOW, NOW - timedelta(minutes=5)))
PER_DAY = 400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


@pytest.fixture
def quiet(settings: Settings) -> Settings:
    """Six quiet weeks of a calibrated model whose outcomes are known after six hours."""
    random = np.random.default_rng(5)
    write_model(settings, baseline())
    days = []
    for day in range(42):
        predicted = probabilities(random, PER_DAY)
        end = NOW - day * DAY
        values = features(random, PER_DAY)
        days.append(answers_table(values, predicted=predicted, end=end, first_book=day * PER_DAY))
    answered = pa.concat_tables(days)
    write_answers(settings, answered)
    late = random.random(answered.num_rows) < answered["probability"].to_numpy()
    write_labels(settings, labels_table(answered, late.tolist()))
    return settings


def run(
    settings: Settings,
    limits: Monitoring | None = None,
    *,
    views: Sequence[ViewState] = FRESH,
    recompute: Recompute | None = None,
) -> list[Finding]:
    return run_monitors(
        settings, OBJECTIVE, limits or Monitoring(), model=MODEL, now=NOW, views=lambda: views, recompute=recompute
    )


def test_quiet_weeks_raise_no_alarm_and_leave_nothing_unknown(quiet: Settings):
    found = run(quiet)

    assert alarms(found) == [] and unknown(found) == []
    assert {item.monitor for item in found} == {
        "freshness", "volume", "nulls", "absent", "out_of_range", "categories", "drift", "labels", "quality",
        "expected_quality",
    }  # fmt: skip
    assert {item.subject for item in found if item.monitor == "quality"} == {
        "1", "live", "branch=branch 0", "branch=branch 1"
    }  # fmt: skip


def test_an_answer_given_while_features_were_brought_up_is_held_against_what_was_online_before(quiet: Settings):
    until, random = NOW - timedelta(minutes=5), np.random.default_rng(3)
    values = features(random, 40)
    write_answers(quiet, answers_table(values, length=timedelta(minutes=3), version="2"))
    write_model(quiet, baseline(), version="2")

    def recompute(requests: pa.Table) -> pa.Table:
        is_known = [at >= until for at in requests["event_timestamp"].to_pylist()]
        returns = [count + known for count, known in zip(values["return_count_7d"], is_known, strict=True)]
        return pa.table({**values, "return_count_7d": returns})

    before = alarms(run(quiet, recompute=recompute))
    views = {"returns": {"appended": 1, "pushed": 1, "rows": 1}}
    ledger_of(quiet).append(
        Act.FEATURES,
        "features",
        at=NOW,
        reason="",
        inputs={"until": until},
        outcome={"views": views},
    )

    assert before == [("skew", "return_count_7d", "differing_share")]
    assert alarms(run(quiet, recompute=recompute)) == []


def test_answers_are_judged_by_the_costs_of_the_version_that_gave_them(quiet: Settings):
    later = replace(OBJECTIVE, kpi=replace(KPI, false_alarm=40.0))  # for the next version, which is not trained yet

    def costs(objective: Objective) -> list[Finding]:
        found = run_monitors(quiet, objective, Monitoring(), model=MODEL, now=NOW, views=None, recompute=None)
        return [item for item in found if item.metric.startswith("kpi")]

    assert costs(later) == costs(OBJECTIVE)
    assert {item.subject for item in costs(later)} == {"1", "live", "branch=branch 0", "branch=branch 1"}


def test_what_is_judged_is_what_a_trigger_may_ask_for(quiet: Settings):
    judged = {
        (item.monitor, item.metric) for item in run(quiet) if item.limit is not None and item.monitor != "quality"
    }

    assert {monitor for monitor, _ in judged} > {"drift", "nulls", "volume", "freshness"}
    assert judged <= {(monitor, metric) for monitor, metrics in ALARMING.items() for metric in metrics}


def test_a_source_that_falls_silent_is_noticed_by_the_ages_of_earlier_runs(quiet: Settings):
    for day in range(10, 0, -1):
        before = NOW - day * DAY
        window = Window.before(before, DAY, run_at=before)
        append_findings(
            Lake(quiet.lake).monitoring(MODEL),
            [window.reported("freshness", view, "age_hours", 0.5, "") for view in ("books", "returns")],
        )

    found = run(quiet)

    assert alarms(found) == [("freshness", "books", "age_hours")]
    assert alarms(run(quiet, Monitoring(silence=50.0))) == []


def test_an_outage_that_lasts_does_not_become_usual_while_it_alarms(quiet: Settings):
    place = Lake(quiet.lake).monitoring(MODEL)
    for day in range(20, 0, -1):
        before, age = NOW - day * DAY, 0.5 if day > 8 else 24.0 * (9 - day)
        window = Window.before(before, DAY, run_at=before)
        verdict = Verdict.OK if day > 8 else Verdict.ALARM
        append_findings(place, [window.judged("freshness", "books", "age_hours", age, 2.5, verdict, "")])

    assert ("freshness", "books", "age_hours") in alarms(run(quiet))


def test_before_the_first_answer_nothing_can_be_told_and_nothing_alarms(settings: Settings):
    write_model(settings, baseline())
    write_labels(settings, labels_table(answers_table(features(np.random.default_rng(0), 2)), [True, None]))

    found = run(settings, recompute=lambda requests: requests)

    assert alarms(found) == []
    assert {monitor for monitor, _, _ in unknown(found)} == {
        "volume", "nulls", "absent", "out_of_range", "categories", "drift", "labels", "quality", "expected_quality",
        "skew",
    }  # fmt: skip


def test_a_young_system_is_not_blocked_for_lack_of_history(settings: Settings):
    write_model(settings, baseline())
    write_answers(settings, answers_table(features(np.random.default_rng(0), 50)))

    found = [item for item in run(settings) if item.monitor == "volume"]

    assert [(item.metric, item.value, item.limit, item.verdict) for item in found] == [
        ("answers", 50.0, None, Verdict.OK)
    ]


def test_a_monitor_that_fails_names_its_problem_while_the_others_run(quiet: Settings):
    def recompute(requests: pa.Table) -> pa.Table:
        raise OSError("the disk is on fire")

    found = run(quiet, recompute=recompute)

    assert unknown(found) == [("skew", MODEL, "run")]
    assert "the disk is on fire" in found[-1].evidence
    assert {item.verdict for item in found[:-1]} == {Verdict.OK}


def test_without_a_label_table_only_the_monitors_of_labels_cannot_tell(settings: Settings):
    write_model(settings, baseline())
    write_answers(settings, answers_table(features(np.random.default_rng(0), 400), end=NOW - 3 * DAY))
    write_answers(settings, answers_table(features(np.random.default_rng(0), 400), first_book=400))

    found = run(settings)

    assert {monitor for monitor, _, _ in unknown(found)} == {"labels", "quality", "expected_quality"}
    assert all("labels/loans" in item.evidence for item in found if item.metric == "run")


def test_a_bundle_without_a_baseline_is_named(settings: Settings):
    write_model(settings, None)
    write_answers(settings, answers_table(features(np.random.default_rng(0), 400)))

    found = [item for item in run(settings) if item.monitor in ("nulls", "absent", "drift")]

    assert [(item.verdict, item.metric) for item in found] == [(Verdict.UNKNOWN, "baseline")] * 3
    assert "version 1 has no baseline" in found[0].evidence


def test_views_that_nobody_knows_are_not_fresh(quiet: Settings):
    assert unknown(run(quiet, views=())) == [("freshness", MODEL, "run")]


def test_after_a_promotion_inputs_are_judged_over_both_versions_and_predictions_over_the_new(quiet: Settings):
    write_model(quiet, baseline(seed=2), version="2")
    random = np.random.default_rng(8)
    late = answers_table(
        features(random, 100), version="2", length=timedelta(minutes=5), first_book=90_000, predicted=[0.9] * 100
    )
    write_answers(quiet, late)

    found = {(item.subject, item.metric): item for item in run(quiet) if item.monitor == "drift"}

    assert "500 answers" in found["pages", "psi"].evidence
    assert not [subject for subject, _ in found if subject == "prediction"]  # 100 answers are too few


def test_shadow_answers_are_judged_apart_and_never_as_live(quiet: Settings):
    write_model(quiet, baseline(seed=2), version="2")
    random = np.random.default_rng(9)
    end = NOW - 3 * DAY
    predicted = probabilities(random, 400)
    shadow = answers_table(
        features(random, 400), version="2", traffic="shadow", end=end, predicted=1 - predicted, first_book=70_000
    )
    write_answers(quiet, shadow)
    write_labels(quiet, labels_table(shadow, (random.random(400) < predicted).tolist()))

    found = run(quiet)

    assert {subject for _, subject, _ in alarms(found)} == {"2 shadow"}


def test_findings_and_their_record_can_be_read_back_and_a_rerun_changes_nothing(quiet: Settings, tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.jsonl", "tester@here")
    findings = run(quiet, replace(Monitoring(), lag=timedelta(minutes=1)))
    place = Lake(quiet.lake).monitoring(MODEL)

    entry = record(quiet, MODEL, findings, ledger)
    once = read_findings(place, until=NOW)
    record(quiet, MODEL, findings, ledger)

    assert set(once) == set(findings) and set(read_findings(place, until=NOW)) == set(findings)
    assert entry is not None and (entry.act, entry.subject) == (Act.MONITORING, MODEL)
    assert entry.reason == f"1 alarm, {len(findings) - 1} ok"
    assert "5:00" in entry.outcome["alarms"][0]


def test_answers_of_another_question_are_not_judged_and_their_inputs_watched_all_the_same(quiet: Settings):
    pages = replace(
        OBJECTIVE, label=NumberLabel("loans", "days_late", "days"), kpi=ErrorKpi("cost", "EUR", 1.0, 1.0, "Of a day")
    )

    found = run_monitors(quiet, pages, Monitoring(), model=MODEL, now=NOW, views=lambda: FRESH, recompute=None)

    [question] = [item for item in found if item.monitor == "quality"]
    assert question.verdict is Verdict.UNKNOWN and "version 1 answers yes or no (is_late)" in question.evidence
    assert {item.monitor for item in found if item.verdict is Verdict.OK} >= {"volume", "nulls", "drift", "categories"}
    assert not any("failed" in item.evidence for item in found) and alarms(found) == []


def test_answers_of_the_question_before_are_left_out_of_quality(quiet: Settings):
    write_model(quiet, None, version="2", task=REGRESSION)
    before, random = run(quiet), np.random.default_rng(1)
    number = answers_table(features(random, 400), predicted=np.zeros(400), end=NOW - 3 * DAY, version="2")
    names = ["prediction" if name == "probability" else name for name in number.column_names]
    place = Lake(quiet.lake).predictions(MODEL)
    write_deltalake(place, number.rename_columns(names), mode="append", schema_mode="merge")

    found = run(quiet)

    def of_live(items: list[Finding]) -> list[tuple[str, float | None]]:
        return [(item.metric, item.value) for item in items if item.monitor == "quality" and item.subject == "live"]

    assert of_live(found) == of_live(before) != []
    assert not any("failed" in item.evidence for item in found)
