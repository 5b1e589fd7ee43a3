"""Where releases stand and who served when, from ledgers written by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from larder.ledger import Act, Ledger
from training.release.state import ReleaseState, Service, history, release_state

START = datetime(2024, 3, 1, 12, 0, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
WATCH = {"former": "1", "watch_until": (START + 100 * HOUR).isoformat()}


@pytest.fixture
def state(tmp_path):
    """The state after acts like `promotion 1`, an hour apart; promotions of what is not the first are watched."""

    def after(*acts: str):
        ledger = Ledger(tmp_path / "ledger.jsonl", "tester@here")
        for hours, text in enumerate(acts):
            act, version = text.split()
            is_watched = act == "promotion" and version != "1"
            ledger.append(
                Act(act), f"pans/{version}", at=START + hours * HOUR, reason=text, outcome=WATCH if is_watched else {}
            )
        return release_state(ledger, "pans")

    return after


@pytest.mark.parametrize(
    ("acts", "champion", "previous", "listener", "pending"),
    [
        ([], None, None, None, False),
        (["shadow 1"], None, None, None, False),
        (["promotion 1"], "1", None, None, False),
        (["promotion 1", "shadow 2"], "1", None, "2", True),
        (["promotion 1", "shadow 2", "rejection 2"], "1", None, None, False),
        (["promotion 1", "shadow 2", "rejection 3"], "1", None, "2", True),
        (["promotion 1", "shadow 2", "promotion 2"], "2", "1", "1", True),
        (["promotion 1", "promotion 2", "confirmation 2"], "2", "1", None, False),
        (["promotion 1", "promotion 2", "confirmation 1"], "2", "1", "1", True),
        (["promotion 1", "promotion 2", "rollback 1"], "1", None, None, False),
        (["promotion 1", "promotion 2", "promotion 3", "rollback 1"], "1", None, None, False),
        (["promotion 1", "promotion 2", "promotion 3", "rollback 2"], "2", "1", None, False),
        (["promotion 1", "promotion 2", "promotion 1", "rollback 2"], "2", "1", None, False),
        (["promotion 1", "promotion 2", "rollback 7"], "7", None, None, False),
        (["promotion 1", "shadow 3", "rollback 2"], "2", None, None, False),
    ],
)
def test_acts_come_to_a_state(state, acts, champion, previous, listener, pending):
    found = state(*acts)

    assert (found.champion, found.previous, found.listener, found.pending) == (champion, previous, listener, pending)


def test_a_state_knows_its_instants(state):
    found = state("training 1", "promotion 1", "training 2", "shadow 2")

    assert (found.shadow, found.shadow_since) == ("2", START + 3 * HOUR)
    assert state("promotion 2").watch_until == START + 100 * HOUR


def test_other_models_do_not_count(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", "tester@here")
    ledger.append(Act.PROMOTION, "pots/1", at=START, reason="another model")
    ledger.append(Act.PROMOTION, "pans", at=START, reason="not about a version")

    assert release_state(ledger, "pans") == ReleaseState()


def test_history_says_to_the_second_which_version_served_when(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", "tester@here")
    for seconds, act, version in (
        (0, "promotion", "1"),
        (5, "shadow", "2"),
        (61, "promotion", "2"),
        (62, "rollback", "1"),
    ):
        ledger.append(Act(act), f"pans/{version}", at=START + timedelta(seconds=seconds), reason=f"{act} {version}")

    assert history(ledger, "pots") == []
    later, last = START + timedelta(seconds=61), START + timedelta(seconds=62)
    assert history(ledger, "pans") == [
        Service("1", START, later, Act.PROMOTION, "promotion 1", "tester@here"),
        Service("2", later, last, Act.PROMOTION, "promotion 2", "tester@here"),
        Service("1", last, None, Act.ROLLBACK, "rollback 1", "tester@here"),
    ]
