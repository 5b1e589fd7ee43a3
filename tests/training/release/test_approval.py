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
from training.release.approval import approve, unapproved


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
    with pytest.raises(ApprovalError, match=r"tester@here trained .* version 2, so somebody else"):
        approved(settings, "tester@here")

    assert ledger.entries(acts=(Act.APPROVAL,)) == []


def test_a_person_counts_once_and_two_are_two(settings: Settings, ledger: Ledger):
    policy = Release(approvals=2)
    approved(settings, "ann@desk")
    approved(settings, "ann@desk")

    assert "so far ann@desk did" in unapproved(ledger, policy, model=MODEL, version="2")
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


def test_a_challenger_that_is_good_enough_waits_in_shadow_until_it_is_approved(
    settings: Settings, objective, policy: Release, ledger: Ledger
):
    with releasing(settings, MODEL, ledger) as releases:
        releases.record(Act.SHADOW, "2", at=BEGIN, reason="passed its gates", inputs={"data_hash": "d", "gates": []})
    write_answers(settings, {"1": 0.6, "2": 0.4}, live="1")
    now = BEGIN + 3 * DAY

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
