"""Nothing serves before others than its trainer have approved it, where the policy asks for that."""

from dataclasses import replace

import pytest

from larder.contracts.errors import ApprovalError, MissingTableError
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings
from larder.ledger import Act, Entry, Ledger, ledger_of
from tests.training.release.pans import BEGIN, DAY, MODEL, acts, at, standing, write_answers
from training.release.acts import releasing, rollback
from training.release.advance import Step, advance
from training.release.approval import approve, reject, unapproved


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """Version 2 was trained by `tester@here`, who writes this ledger too."""
    ledger.append(Act.TRAINING, f"{MODEL}/2", at=BEGIN, reason="asked for")
    return ledger


def approved(settings: Settings, who: str, version: str = "2") -> Entry:
    return approve(
        settings, MODEL, version, ledger=ledger_of(settings, actor=who), now=BEGIN + DAY, reason="looked at it"
    )


def test_who_trained_a_version_cannot_approve_it(settings: Settings, ledger: Ledger):
    for machine in ("here", "there"):
        with pytest.raises(ApprovalError, match=rf"tester@{machine} trained .* version 2, so somebody else"):
            approved(settings, f"tester@{machine}")

    assert ledger.entries(acts=(Act.APPROVAL,)) == []


def test_a_person_counts_once_and_two_are_two(settings: Settings, ledger: Ledger):
    policy = Release(approvals=2)
    approved(settings, "ann@desk")
    approved(settings, "ann@laptop")

    assert "so far ann did" in unapproved(ledger, policy, model=MODEL, version="2")
    approved(settings, "bob@desk")

    assert unapproved(ledger, policy, model=MODEL, version="2") == ""
    assert [entry.actor for entry in ledger.entries(acts=(Act.APPROVAL,))] == ["ann@desk", "bob@desk"]


def test_approval_of_one_version_is_none_of_another(settings: Settings, ledger: Ledger):
    ledger.append(Act.TRAINING, f"{MODEL}/3", at=BEGIN, reason="asked for")
    approved(settings, "ann@desk", "3")

    assert "so far nobody did" in unapproved(ledger, Release(approvals=1), model=MODEL, version="2")


def test_a_version_that_was_never_trained_is_refused_with_those_that_were(settings: Settings, ledger: Ledger):
    with pytest.raises(MissingTableError, match=r"knows no training of .* version '9'; it knows versions 2"):
        approved(settings, "ann@desk", "9")


def rejected(settings: Settings, who: str, version: str = "2") -> Entry:
    return reject(settings, MODEL, version, ledger=ledger_of(settings, actor=who), now=BEGIN + DAY, reason="unfair")


def test_a_person_who_says_no_ends_the_shadow_and_takes_back_what_was_approved(in_shadow: Settings, ledger: Ledger):
    approved(in_shadow, "ann@desk")

    for _ in range(2):
        rejected(in_shadow, "bob@desk")

    assert acts(ledger)[-2:] == ["approval 2", "rejection 2"] and standing(in_shadow, ledger) == ("1", None)
    assert "so far nobody did" in unapproved(ledger, Release(approvals=1), model=MODEL, version="2")
    approved(in_shadow, "ann@desk")
    assert unapproved(ledger, Release(approvals=1), model=MODEL, version="2") == ""


def test_the_version_that_serves_is_rolled_back_not_rejected(settings: Settings, ledger: Ledger):
    ledger.append(Act.TRAINING, f"{MODEL}/1", at=BEGIN, reason="asked for")

    with pytest.raises(ApprovalError, match=r"version 1 serves. Take it back with `larder models rollback`"):
        rejected(settings, "bob@desk", "1")
    with pytest.raises(MissingTableError, match="knows no training"):
        rejected(settings, "bob@desk", "9")


@pytest.fixture
def in_shadow(settings: Settings, ledger: Ledger) -> Settings:
    """Version 2 answers unseen, and better than version 1 does."""
    with releasing(settings, MODEL, ledger) as releases:
        releases.record(Act.SHADOW, "2", at=BEGIN, reason="passed its gates", inputs={"data_hash": "d", "gates": []})
    write_answers(settings, {"1": 0.6, "2": 0.4}, live="1")
    return settings


def test_a_challenger_that_nobody_approves_is_rejected_when_patience_ends(
    in_shadow: Settings, objective, policy: Release, ledger: Ledger
):
    asked = replace(policy, approvals=1)

    steps = [
        advance(at(in_shadow, now), objective, asked, model=MODEL, ledger=ledger, now=now)
        for now in (BEGIN + 5 * DAY, BEGIN + 6 * DAY)
    ]

    assert [step.act for step in steps] == [None, Act.REJECTION] and standing(in_shadow, ledger) == ("1", None)
    assert steps[1].reason.startswith("not approved within 6 days: ") and "so far nobody did" in steps[1].reason


def test_a_challenger_that_is_good_enough_waits_in_shadow_until_it_is_approved(
    in_shadow: Settings, objective, policy: Release, ledger: Ledger
):
    settings, now = in_shadow, BEGIN + 3 * DAY

    def step() -> Step:
        policy_of_two = replace(policy, approvals=1)
        return advance(at(settings, now), objective, policy_of_two, model=MODEL, ledger=ledger, now=now)

    waiting = step()
    assert waiting.act is None and standing(settings, ledger) == ("1", "2")
    assert "so far nobody did. Approve with `larder models approve 2`. It is not worse" in waiting.reason
    approved(settings, "ann@desk")

    assert step().act is Act.PROMOTION
    assert standing(settings, ledger) == ("2", "1")
    assert acts(ledger)[-2:] == ["approval 2", "promotion 2"]


def test_a_rollback_waits_for_nobody(settings: Settings, ledger: Ledger):
    with releasing(settings, MODEL, ledger) as releases:
        releases.promote("2", at=BEGIN, reason="by hand", inputs={})

    rollback(settings, MODEL, ledger=ledger, now=BEGIN + DAY, reason="complaints")

    assert standing(settings, ledger)[0] == "1"
