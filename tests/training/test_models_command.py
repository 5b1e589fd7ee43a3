"""`larder models`: what a person sees of releases."""

import json

import pytest
from click.testing import CliRunner

import training.models_command
from larder.contracts.retraining import Retraining
from larder.contracts.settings import load_settings
from larder.ledger import Act, ledger_of
from tests.training.release.pans import BEGIN, DAY, MODEL, at, freeze, standing, write_answers
from training.models_command import models, release_command
from training.release.acts import releasing


@pytest.fixture
def settings(tmp_path):
    built = load_settings({"LARDER_HOME": str(tmp_path / "my pans"), "LARDER_CLOCK": BEGIN.isoformat()})
    freeze(built, "1", "2")
    return built


@pytest.fixture
def ledger(settings):
    return ledger_of(settings, actor="tester@here")


@pytest.fixture
def run(monkeypatch, objective):
    """Run `larder models ...` with the shop's training file."""
    monkeypatch.setattr(training.models_command, "use_case_name", lambda *_: MODEL)
    monkeypatch.setattr(training.models_command, "declared", lambda *_: objective)
    monkeypatch.setattr(training.models_command, "declared_or", lambda *_: Retraining())

    def invoked(settings, *arguments: str) -> str:
        return CliRunner().invoke(models, arguments, obj=settings, catch_exceptions=False).output

    return invoked


def released(settings) -> str:
    """What `larder release` says."""
    return CliRunner().invoke(release_command, obj=settings, catch_exceptions=False).output


def test_a_release_is_advanced_shown_and_rolled_back(settings, ledger, run):
    assert "No version of repairs ever served" in run(settings, "history")
    with releasing(settings, MODEL, ledger) as releases:
        releases.promote("1", at=BEGIN - DAY, reason="the first", inputs={})
        releases.record(Act.SHADOW, "2", at=BEGIN, reason="passed its gates")
    write_answers(settings, {"1": 0.6, "2": 0.4}, live="1", count=1200)

    assert "Version 2 answers unseen since 2024-03-01 00:00:00." in run(settings, "history")
    assert released(at(settings, BEGIN + 3 * DAY)).startswith("repairs version 2: promotion. not worse: log loss")
    assert "Version 2 is watched until 2024-03-11 00:00:00; version 1 answers unseen" in run(settings, "history")
    rolled_back = run(at(settings, BEGIN + 4 * DAY), "rollback", "--reason", "complaints")

    assert rolled_back == "repairs version 1 serves since 2024-03-05 00:00:00 UTC: complaints\n"
    assert standing(settings, ledger) == ("1", None)
    assert released(at(settings, BEGIN + 4 * DAY)) == "repairs version 1: no change. no release is under way\n"
    services = json.loads(run(settings, "history", "--json"))
    assert [(service["version"], service["since"], service["act"]) for service in services] == [
        ("1", "2024-02-29T00:00:00Z", "promotion"),
        ("2", "2024-03-04T00:00:00Z", "promotion"),
        ("1", "2024-03-05T00:00:00Z", "rollback"),
    ]
