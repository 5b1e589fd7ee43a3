"""The declared policy against facts made by hand; nothing is read or written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.contracts.errors import ConfigurationError
from larder.contracts.monitoring import Finding, Verdict
from larder.contracts.retraining import Retraining, TrainingWindow, Trigger
from training.data.label_counts import LabelCounts
from training.retraining.policy import Facts, Training, asked, decide, named_policy

NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LABELS = LabelCounts(learnable=23_800, learnable_values=2, judged=900, judged_values=2, new=0)
DRIFT = Trigger("drift", "psi", k=3, n=5)
OK, ALARM, UNKNOWN = Verdict.OK, Verdict.ALARM, Verdict.UNKNOWN


def training(version: str = "3", *, days_ago: float = 20, rows: int | None = 23_800) -> Training:
    at = NOW - days_ago * DAY
    return Training(version=version, at=at, rows=rows, newest_label_at=None if rows is None else at - 7 * DAY)


def facts(**changes: Any) -> Facts:
    """Version 3 serves, was trained twenty days ago, and nothing new is known."""
    last = training()
    known = {"now": NOW, "champion": "3", "champion_training": last, "trainings": (last,), "labels": LABELS}
    return Facts(**(known | changes))


def new_labels(count: int) -> LabelCounts:
    return replace(LABELS, new=count)


def found(monitor: str, metric: str, *verdicts: Verdict, subject: str = "weight") -> tuple[Finding, ...]:
    """One finding a day, the last one of today."""
    ends = [NOW - (len(verdicts) - 1 - index) * DAY for index in range(len(verdicts))]
    return tuple(
        Finding(end, end - DAY, end, monitor, subject, metric, 0.4, 0.2, verdict, f"{metric} is .4")
        for end, verdict in zip(ends, verdicts, strict=True)
    )


def test_while_nothing_asks_the_answer_is_no_and_says_how_far_it_is():
    decision = decide(Retraining(), facts(labels=new_labels(2_380)))

    assert (decision.is_due, decision.is_go, decision.refusals) == (False, False, ())
    assert decision.reasons == (
        "nothing asks for a new model: 2,380 labels are new, 10% of the 23,800 that version 3 learned from "
        "(the policy asks for 50%)",
    )


def test_how_far_it_is_counts_from_the_champion_also_after_a_later_version_was_rejected():
    rejected = training("4", days_ago=5, rows=3_000)
    known = facts(trainings=(training(), rejected), labels=new_labels(2_380))

    [reason] = decide(Retraining(), known).reasons

    assert "2,380 labels are new, 10% of the 23,800 that version 3 learned from" in reason


def test_enough_new_labels_are_a_reason_with_its_numbers():
    decision = decide(Retraining(growth=0.5), facts(labels=new_labels(12_400)))

    assert decision.is_go
    assert decision.reasons == (
        "12,400 labels are new, 52% of the 23,800 that version 3 learned from; the policy asks for 50%",
    )
    assert decision.evidence["new_labels"] == 12_400


def test_growth_is_counted_from_what_the_champion_learned_and_pauses_count_every_training():
    rejected = training("4", days_ago=5, rows=30_000)
    known = facts(trainings=(training(), rejected), labels=new_labels(12_400))

    assert decide(Retraining(growth=0.5), known).is_go
    paused = decide(Retraining(growth=0.5, cool_down=7 * DAY), known)
    assert paused.is_due and not paused.is_go


def test_without_a_champion_the_first_model_is_due():
    known = facts(champion=None, champion_training=None, trainings=())

    assert decide(Retraining(), known).reasons == ("no version serves yet",)
    assert decide(Retraining(), known).is_go


def test_the_first_model_needs_the_least_number_of_labels():
    few = replace(LABELS, learnable=999)

    decision = decide(Retraining(), facts(champion=None, champion_training=None, trainings=(), labels=few))

    assert decision.is_due and not decision.is_go
    assert decision.refusals[0].startswith("999 labels can be learned from, at least 1,000 are needed")


@pytest.mark.parametrize(
    ("labels", "refusal"),
    [
        (LabelCounts(0, 0, 0, 0, 0), "no label is known of the last 7 days"),
        (replace(LABELS, judged_values=1), "all 900 labels are the same of the last 7 days"),
        (replace(LABELS, learnable_values=1), "all 23,800 labels to learn from are the same"),
    ],
    ids=["none", "one class to judge by", "one class to learn from"],
)
def test_labels_that_teach_or_judge_nothing_refuse(labels, refusal):
    decision = decide(Retraining(), facts(champion=None, champion_training=None, trainings=(), labels=labels))

    assert refusal in "; ".join(decision.refusals)


@pytest.mark.parametrize(
    ("verdicts", "is_due"),
    [
        ((ALARM, OK, ALARM, OK, ALARM), True),
        ((ALARM, ALARM, ALARM, ALARM, OK), False),
        ((ALARM, ALARM, OK, OK, OK, ALARM), False),
        ((ALARM, ALARM, UNKNOWN, ALARM), True),
        ((ALARM, ALARM, ALARM, UNKNOWN), False),
        ((ALARM, ALARM), False),
        ((UNKNOWN,) * 5, False),
    ],
)
def test_a_trigger_needs_k_of_the_last_n_windows_and_the_latest(verdicts, is_due):
    decision = decide(Retraining(triggers=(DRIFT,)), facts(findings=found("drift", "psi", *verdicts)))

    assert decision.is_due is is_due


def test_the_reason_of_a_trigger_names_subject_windows_and_what_the_policy_asks():
    decision = decide(Retraining(triggers=(DRIFT,)), facts(findings=found("drift", "psi", ALARM, OK, ALARM, ALARM)))

    assert decision.reasons == (
        "psi of weight (drift) alarmed in 3 of the last 4 windows and in the latest; the policy asks for 3 of 5",
    )


def test_alarms_of_different_subjects_do_not_add_up():
    findings = found("drift", "psi", ALARM, OK, ALARM) + found("drift", "psi", OK, ALARM, ALARM, subject="age")

    assert not decide(Retraining(triggers=(DRIFT,)), facts(findings=findings)).is_due


def test_a_window_that_was_looked_at_twice_counts_once_by_its_newest_run():
    first = found("drift", "psi", ALARM, ALARM, ALARM)
    again = replace(first[2], run_at=NOW + DAY, verdict=OK)

    assert not decide(Retraining(triggers=(DRIFT,)), facts(findings=(*first, again))).is_due
    assert not decide(Retraining(triggers=(DRIFT,)), facts(findings=(first[2],) * 3)).is_due


def test_windows_from_before_the_last_training_do_not_ask_again():
    last = training("4", days_ago=1.5)
    known = facts(trainings=(last,), findings=found("drift", "psi", *[ALARM] * 5))

    assert not decide(Retraining(triggers=(DRIFT,), cool_down=DAY), known).is_due


def test_an_expired_model_is_due():
    decision = decide(Retraining(growth=None, expires_after=26 * DAY), facts())

    assert decision.reasons == (
        "version 3 expired: the newest label that it learned from is 27 days old, 26 days are allowed",
    )


def test_a_champion_without_a_training_on_record_expires_by_its_age():
    adopted = training(rows=None)
    known = facts(champion_training=adopted, trainings=(adopted,))

    assert decide(Retraining(expires_after=19 * DAY), known).is_due
    assert decide(Retraining(), known).reasons == (
        "nothing asks for a new model, as far as is on record of the champion's training",
    )


@pytest.mark.parametrize("monitor", Retraining().refused_by)
def test_bad_data_refuse_a_training_that_is_due_and_both_are_said(monitor):
    known = facts(labels=new_labels(20_000), findings=found(monitor, "share", OK, ALARM))

    decision = decide(Retraining(), known)

    assert decision.is_due and not decision.is_go
    assert decision.reasons[0].startswith("20,000 labels are new")
    assert decision.refusals == (f"{monitor} alarms: weight: share is .4",)


@pytest.mark.parametrize(
    ("verdicts", "refuses"),
    [
        ([ALARM] * 15, True),
        ([ALARM] * 16, False),
        ([ALARM, OK, OK, OK] * 5 + [ALARM], False),
        ([ALARM] * 10 + [OK] * 12 + [ALARM] * 3, False),
        ([ALARM] * 10 + [OK] * 13 + [ALARM] * 3, True),
    ],
    ids=["two weeks", "longer", "coming and going", "after a pause", "after a pause of two weeks"],
)
def test_an_alarm_refuses_for_two_weeks_and_is_then_how_the_data_are(verdicts, refuses):
    decision = decide(Retraining(), facts(labels=new_labels(20_000), findings=found("nulls", "share", *verdicts)))

    assert decision.is_go is not refuses


@pytest.mark.parametrize(
    ("verdicts", "refuses"),
    [((ALARM, OK), False), ((OK, UNKNOWN), True), ((UNKNOWN, UNKNOWN), False), ((), False)],
    ids=["mended", "could tell before", "never could tell", "never ran"],
)
def test_a_monitor_that_can_no_longer_tell_refuses(verdicts, refuses):
    decision = decide(Retraining(), facts(findings=found("volume", "rows", *verdicts)))

    assert bool(decision.refusals) is refuses


def test_a_monitor_that_failed_as_a_whole_refuses_under_any_name():
    before, failed = found("volume", "rows", OK, OK)[0], found("volume", "failure", UNKNOWN, subject="monitor")

    assert decide(Retraining(), facts(findings=(before, *failed))).refusals[0].startswith("volume cannot tell: monitor")


def test_a_subject_that_is_no_longer_watched_refuses_nothing():
    gone = found("nulls", "share", ALARM, OK)[:1]

    assert decide(Retraining(), facts(findings=gone + found("nulls", "share", OK, subject="age"))).refusals == ()


def test_a_release_under_way_and_pauses_refuse():
    trainings = (training("3", days_ago=6), training("4", days_ago=2))
    known = facts(trainings=trainings, pending="version 4 answers unseen since 2024-06-13 12:00")

    assert decide(Retraining(), known).refusals == (
        "a release is under way: version 4 answers unseen since 2024-06-13 12:00",
        "the last training was 2 days ago, at least 3 days must lie between two",
        "2 trainings in the last seven days, at most 2 are allowed",
    )


def test_a_person_may_ask_within_the_pause_but_not_during_a_release():
    known = facts(trainings=(training(days_ago=1),), findings=found("nulls", "share", ALARM))

    assert asked(Retraining(), known, actor="ann@shop").is_go
    assert asked(Retraining(), known, actor="ann@shop").reasons == ("asked by ann@shop",)
    assert not asked(Retraining(), replace(known, pending="version 4 is watched"), actor="ann@shop").is_go


@pytest.mark.parametrize(
    ("name", "last", "is_due"),
    [
        ("monthly", datetime(2024, 5, 31, 23, 59, tzinfo=UTC), True),
        ("monthly", datetime(2024, 6, 1, tzinfo=UTC), False),
        ("weekly", NOW - 7 * DAY, True),
        ("weekly", NOW - 6.99 * DAY, False),
        ("never", NOW - 400 * DAY, False),
        ("automatic", NOW - 400 * DAY, True),
    ],
)
def test_named_policies_follow_their_schedule_and_nothing_else(name, last, is_due):
    declared = Retraining(triggers=(DRIFT,), window=TrainingWindow(last=90 * DAY))
    done = Training(version="3", at=last, rows=100, newest_label_at=last)
    known = facts(champion_training=done, trainings=(done,), labels=new_labels(20_000))
    known = replace(known, findings=found("drift", "psi", *[ALARM] * 5))

    policy = named_policy(declared, name)

    assert decide(policy, known).is_due is is_due
    assert policy.window == declared.window


def test_a_policy_that_nobody_knows_is_refused_with_those_there_are():
    with pytest.raises(ConfigurationError, match="no policy 'daily'; there are never, monthly, weekly, automatic"):
        named_policy(Retraining(), "daily")


@settings(max_examples=60, deadline=None)
@given(
    alarms=st.lists(st.sampled_from([OK, ALARM, UNKNOWN]), min_size=1, max_size=60),
    cool_down=st.integers(0, 10),
    most_per_week=st.integers(1, 3),
    k=st.integers(1, 5),
)
def test_whatever_drift_does_trainings_keep_their_distance(alarms, cool_down, most_per_week, k):
    policy = Retraining(
        growth=None, triggers=(Trigger("drift", "psi", k, 5),), cool_down=cool_down * DAY, most_per_week=most_per_week
    )
    done = _replayed(policy, alarms)

    gaps = [later - earlier for earlier, later in pairwise(done)]
    assert all(gap >= max(cool_down, 1) * DAY for gap in gaps)
    assert all(sum(at <= other < at + 7 * DAY for other in done) <= most_per_week for at in done)
    assert len(done) - 1 <= alarms.count(ALARM) // k


@pytest.mark.parametrize("days", [30, 31])
def test_drift_that_alarms_every_other_day_holds_still_where_the_policy_asks_for_more(days):
    flapping = [ALARM if day % 2 else OK for day in range(days)]
    policy = Retraining(growth=None, triggers=(Trigger("drift", "psi", 4, 5),))

    assert len(_replayed(policy, flapping)) == 1


def _replayed(policy: Retraining, verdicts: list[Verdict]) -> list[datetime]:
    """Instants of trainings, the first one before the first window, when each window is judged at its end."""
    start = NOW
    done = [Training(version="1", at=start, rows=100, newest_label_at=start)]
    findings: list[Finding] = []
    for day, verdict in enumerate(verdicts, start=1):
        now = start + day * DAY
        findings.append(Finding(now, now - DAY, now, "drift", "weight", "psi", 0.4, 0.2, verdict, "psi is .4"))
        known = facts(now=now, champion_training=done[-1], trainings=tuple(done), findings=tuple(findings))
        if decide(policy, known).is_go:
            done.append(Training(version=str(len(done) + 1), at=now, rows=100, newest_label_at=now))
    return [item.at for item in done]
