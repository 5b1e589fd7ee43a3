"""Pointers follow the ledger, and only a ledger that nobody touched."""

import shutil

import pytest

from larder.contracts.bundle import set_champion, set_shadow
from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.ledger import Act, ledger_of
from tests.training.release.pans import BEGIN, MODEL, acts, freeze, standing
from training.release.acts import releasing, rollback
from training.release.settle import settle
from training.release.state import history


def test_a_bundle_that_is_gone_is_told_with_the_way_out(settings, ledger):
    shutil.rmtree(settings.bundles)

    with pytest.raises(MissingTableError, match=r"version 1 of .* serves, but its bundle .* is gone\. Restore"):
        settle(settings, MODEL, ledger)

    for file in ledger.path.parent.glob("ledger.*"):
        file.unlink()
    assert settle(settings, MODEL, ledger_of(settings)) == []


def test_pointers_that_somebody_moved_come_back(settings, ledger):
    set_champion(settings.bundles, MODEL, "2")
    set_shadow(settings.bundles, MODEL, "3")

    changed = settle(settings, MODEL, ledger)

    assert changed == ["serving points at version 1", "no version answers unseen"]
    assert standing(settings, ledger) == ("1", None)
    assert settle(settings, MODEL, ledger) == []


def test_a_champion_from_before_the_ledger_is_adopted_once(settings):
    set_champion(settings.bundles, MODEL, "2")
    ledger = ledger_of(settings)

    for _ in range(2):
        settle(settings, MODEL, ledger)

    [service] = history(ledger, MODEL)
    assert (service.version, service.since) == ("2", BEGIN)
    assert service.reason == "adopted: promoted before there was a ledger"
    assert ledger.entries()[0].inputs["run_id"] == "run2"


def test_nothing_is_adopted_where_nothing_was_promoted_or_the_pointer_leads_nowhere(settings):
    ledger = ledger_of(settings)
    assert settle(settings, MODEL, ledger) == []

    set_champion(settings.bundles, MODEL, "9")

    assert settle(settings, MODEL, ledger) == [] and acts(ledger) == []


def test_an_edited_ledger_moves_no_pointer(settings, ledger):
    with releasing(settings, MODEL, ledger) as releases:
        releases.promote("2", at=BEGIN, reason="better", inputs={})
    ledger.path.write_text(ledger.path.read_text().replace("repairs/2", "repairs/3"))

    with pytest.raises(InvalidDataError, match=r"Entry 2 .* was changed"):
        settle(settings, MODEL, ledger)


def test_a_rollback_goes_back_in_line_until_there_is_nothing_left(settings, ledger):
    with releasing(settings, MODEL, ledger) as releases:
        for version in ("2", "3"):
            releases.promote(version, at=BEGIN, reason="better", inputs={})

    for expected in ("2", "1"):
        rollback(settings, MODEL, ledger=ledger, now=BEGIN, reason="complaints")
        assert standing(settings, ledger) == (expected, None)

    with pytest.raises(MissingTableError, match="no version of 'repairs' to go back to: version 1 serves, none did"):
        rollback(settings, MODEL, ledger=ledger, now=BEGIN, reason="complaints")
    assert [(service.version, service.actor) for service in history(ledger, MODEL)][-1] == ("1", "tester@here")


def test_a_rollback_that_was_cut_off_is_completed_and_no_other_one_begun(settings, ledger):
    with releasing(settings, MODEL, ledger) as releases:
        for version in ("2", "3"):
            releases.promote(version, at=BEGIN, reason="better", inputs={})
    ledger.append(Act.ROLLBACK, f"{MODEL}/2", at=BEGIN, reason="complaints")

    rollback(settings, MODEL, ledger=ledger, now=BEGIN, reason="complaints")

    assert acts(ledger)[-1] == "rollback 2" and acts(ledger).count("rollback 2") == 1
    assert standing(settings, ledger) == ("2", None)


def test_a_rollback_to_a_named_version_happens_once_and_needs_its_whole_bundle(settings, ledger):
    for _ in range(2):
        rollback(settings, MODEL, ledger=ledger, now=BEGIN, reason="complaints", to="3")
    assert acts(ledger) == ["promotion 1", "rollback 3"] and standing(settings, ledger) == ("3", None)

    with pytest.raises(MissingTableError, match="it is no bundle"):
        rollback(settings, MODEL, ledger=ledger, now=BEGIN, reason="complaints", to="9")
    (settings.bundles / MODEL / "2" / "plan.json").write_bytes(b"{}")
    with pytest.raises(InvalidDataError, match="does not have the hash"):
        rollback(settings, MODEL, ledger=ledger, now=BEGIN, reason="complaints", to="2")
    assert standing(settings, ledger) == ("3", None)


def test_a_rollback_ends_the_release_under_way(settings, ledger):
    with releasing(settings, MODEL, ledger) as releases:
        releases.promote("2", at=BEGIN, reason="better", inputs={})
        releases.record(Act.SHADOW, "3", at=BEGIN, reason="passed")
    assert standing(settings, ledger) == ("2", "3")

    rollback(settings, MODEL, ledger=ledger, now=BEGIN, reason="complaints")

    assert standing(settings, ledger) == ("1", None)


def test_before_any_promotion_there_is_nothing_to_go_back_to(settings):
    freeze(settings, "5")

    with pytest.raises(MissingTableError, match="none ever served"):
        rollback(settings, MODEL, ledger=ledger_of(settings), now=BEGIN, reason="complaints")
