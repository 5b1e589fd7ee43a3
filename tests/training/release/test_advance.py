"""Shadow and watch on a real prediction log: who is promoted, rejected, rolled back, and when nobody can tell."""

from dataclasses import replace

import pytest

from larder.contracts.errors import BusyError, InvalidDataError
from larder.ledger import Act
from tests.training.release.pans import BEGIN, DAY, MODEL, acts, at, said, standing, write_answers
from training.release.acts import releasing
from training.release.advance import advance
from training.release.state import release_state

WORSE, SAME, BETTER = 0.9, 0.6, 0.4


@pytest.fixture
def in_shadow(settings, ledger):
    with releasing(settings, MODEL, ledger) as releases:
        releases.record(Act.SHADOW, "2", at=BEGIN, reason="passed its gates", inputs={"data_hash": "d", "gates": []})
    return settings


@pytest.fixture
def step(in_shadow, objective, policy, ledger):
    """Advance to so many days after the shadow began."""

    def advanced(days: float, **changes):
        now = BEGIN + days * DAY
        changed = replace(policy, **changes)
        return advance(at(in_shadow, now), objective, changed, model=MODEL, ledger=ledger, now=now)

    return advanced


def test_a_better_challenger_is_promoted_once_shadow_has_lasted_and_its_evidence_is_kept(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1")

    early, promoted, again = step(1.9), step(3), step(3)

    assert (early.act, promoted.act, again.act) == (None, Act.PROMOTION, None)
    assert standing(settings, ledger) == ("2", "1")
    entry = ledger.entries(subject=f"{MODEL}/2", acts=(Act.PROMOTION,))[0]
    assert entry.inputs["data_hash"] == "d" and set(entry.inputs["bundle"]) == {"model.onnx", "plan.json"}
    compared = entry.inputs["comparison"]
    assert compared["difference"]["high"] < 0 and compared["rows"] == 394 and compared["answered"] == 400
    assert {"roc_auc", "calibration_error"} <= set(compared["newer"])
    assert entry.outcome == {"former": "1", "watch_until": (BEGIN + 6 * DAY).isoformat()}
    assert "log loss of version 2 minus that of 1 is -0." in entry.reason


def test_a_worse_challenger_is_rejected_and_the_champion_stays(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": WORSE}, live="1", days=5.5)

    assert said(step(3.9)).startswith("wait 2: undecided: log loss of version 2 minus that of 1 is +0.")
    assert said(step(5.8)).startswith("rejection 2: worse: log loss of version 2 minus that of 1 is +0.")
    assert standing(settings, ledger) == ("1", None)


def test_an_undecided_challenger_waits_and_is_rejected_when_patience_ends(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": SAME + 0.05}, live="1", days=2)

    assert said(step(3)).startswith("wait 2: undecided: log loss")
    assert said(step(6)).startswith("rejection 2: undecided after 6 days: log loss")
    assert standing(settings, ledger) == ("1", None)


def test_equal_answers_are_good_enough(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": SAME}, live="1", noise=0)

    assert step(3).act is Act.PROMOTION


def test_without_any_prediction_nobody_can_tell_and_nothing_is_promoted(settings, ledger, step):
    assert "because only 0 of 200 answers of both have a known outcome" in said(step(3))
    assert said(step(6)).startswith("rejection 2: undecided after 6 days: cannot tell")
    assert standing(settings, ledger) == ("1", None)


def test_answers_whose_labels_are_not_known_yet_do_not_count(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1", start=BEGIN + 1.99 * DAY, days=0.04)

    found = step(2.03).found

    assert found is not None and (found.answered, found.rows) == (400, 0)


def test_with_one_class_of_outcomes_nobody_can_tell(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1", same_outcome=True)

    assert said(step(3)).endswith("because all 394 known outcomes are the same")


def test_answers_from_before_the_shadow_do_not_count(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1", start=BEGIN - 3 * DAY)

    assert "only 0 of 200" in said(step(3))


def test_an_answer_that_lies_in_the_log_twice_counts_once(settings, ledger, step):
    for _ in range(2):
        write_answers(settings, {"1": SAME, "2": SAME}, live="1", count=150)

    found = step(3).found

    assert found is not None and found.answered == 150


@pytest.fixture
def in_watch(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1")
    assert step(3).act is Act.PROMOTION
    return settings


def test_a_promoted_version_that_does_worse_is_rolled_back(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1")
    assert step(3, watch=8 * DAY).act is Act.PROMOTION
    write_answers(settings, {"1": BETTER, "2": SAME}, live="2", start=BEGIN + 3 * DAY, days=5.5)

    assert step(6.5).act is None
    assert said(step(8.8)).startswith("rollback 2: worse than the former champion: log loss of version 2")
    assert standing(settings, ledger) == ("1", None)
    assert acts(ledger) == ["promotion 1", "shadow 2", "promotion 2", "rollback 1"]
    assert step(9).act is None


def test_fewer_matured_answers_than_half_of_what_shadow_needed_roll_nothing_back(in_watch, ledger, step):
    write_answers(in_watch, {"1": BETTER, "2": WORSE}, live="2", start=BEGIN + 3 * DAY, count=98, days=1)

    assert step(4.5).act is None
    assert standing(in_watch, ledger) == ("2", "1")


def test_a_watch_that_ends_well_is_confirmed_and_the_former_champion_falls_silent(in_watch, ledger, step):
    write_answers(in_watch, {"1": SAME, "2": BETTER}, live="2", start=BEGIN + 3 * DAY, days=2)

    assert [step(days).act for days in (5.9, 6, 7)] == [None, Act.CONFIRMATION, None]
    assert standing(in_watch, ledger) == ("2", None)
    assert release_state(ledger, MODEL).previous == "1"


def test_an_edited_ledger_promotes_nothing(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1")
    text = ledger.path.read_text()
    ledger.path.write_text(text.replace("the first", "the best"))

    with pytest.raises(InvalidDataError, match=r"Entry 1 .* was changed after it was written. Nothing was promoted"):
        step(3)
    assert standing(settings, ledger) == ("1", "2")


def test_a_challenger_whose_bundle_was_changed_is_not_promoted(settings, ledger, step):
    write_answers(settings, {"1": SAME, "2": BETTER}, live="1")
    (settings.bundles / MODEL / "2" / "model.onnx").write_bytes(b"evil")

    with pytest.raises(InvalidDataError, match="does not have the hash"):
        step(3)
    assert standing(settings, ledger) == ("1", "2")


def test_two_at_once_are_kept_apart(settings, ledger, step):
    with releasing(settings, MODEL, ledger), pytest.raises(BusyError, match="Another release of 'repairs' is running"):
        step(3)
