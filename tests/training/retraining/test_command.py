"""`larder retrain` as a person or a schedule types it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

import larder.registry
import training.cli
import training.retraining.command
from larder.contracts.bundle import champion_version, shadow_version
from larder.contracts.errors import GateError
from larder.contracts.objective import Gate
from larder.contracts.retraining import Retraining
from larder.ledger import Act, ledger_of
from tests.training.retraining.test_retrain import MODEL, NOW, OBJECTIVE, POLICY, ROWS
from tests.training.shop import SPLIT, write_shop

POLICIES = {Retraining: replace(POLICY, growth=0.25)}
LATER = NOW + timedelta(hours=40)


@pytest.fixture
def command(settings, store, monkeypatch):
    """Runs `larder retrain` at an instant, for the shop."""
    write_shop(settings, ROWS)
    monkeypatch.setattr(larder.registry, "feature_store", lambda *_: store)
    monkeypatch.setattr(training.retraining.command, "use_case_name", lambda *_: MODEL)
    monkeypatch.setattr(
        training.retraining.command, "declared_or", lambda _, default, __: POLICIES.get(type(default), default)
    )

    def run(*arguments: str, at=NOW, objective=OBJECTIVE):
        monkeypatch.setattr(training.retraining.command, "declared", lambda *_: objective)
        done = CliRunner().invoke(
            training.retraining.command.retrain, arguments, obj=replace(settings, replay_at=at), standalone_mode=False
        )
        if done.exception is not None:
            raise done.exception
        return done

    return run


def test_the_first_model_serves_and_the_next_one_answers_unseen(command, settings):
    first = command("--if-needed")
    second = command("--if-needed", at=LATER)

    assert "because no version serves yet" in first.output and "version 1: promotion" in first.output
    assert "labels are new" in second.output and "version 2: shadow" in second.output
    assert (champion_version(settings.bundles, MODEL), shadow_version(settings.bundles, MODEL)) == ("1", "2")
    assert ledger_of(settings).problem() is None
    refused = command()
    assert "asked by" in refused.output and "refused: a release is under way: version 2" in refused.output
    [gate] = ledger_of(settings).entries(subject=f"{MODEL}/2", acts=(Act.EVALUATION,))[0].outcome["gates"]
    assert gate["passed"]


def test_a_retrained_version_is_promoted_by_hand_by_the_gates_of_the_retraining(command, settings, store, monkeypatch):
    beside_calendar = (Gate("log_loss", "<=", 9.0, relative_to="calendar"),)
    objective = replace(OBJECTIVE, references={"calendar": ("age_years",)}, gates=beside_calendar)
    monkeypatch.setitem(POLICIES, Retraining, replace(POLICY, growth=0.25, gates=()))
    command("--if-needed", objective=objective)
    command("--if-needed", at=LATER, objective=objective)
    monkeypatch.setattr(training.cli, "use_case_name", lambda *_: MODEL)
    monkeypatch.setattr(training.cli, "declared", lambda *_: objective)
    monkeypatch.setattr(training.cli, "declared_or", training.retraining.command.declared_or)

    CliRunner().invoke(training.cli.promote, obj=replace(settings, replay_at=LATER), catch_exceptions=False)

    assert (champion_version(settings.bundles, MODEL), shadow_version(settings.bundles, MODEL)) == ("2", None)


def test_when_nothing_asks_for_a_model_the_command_ends_well(command):
    command()

    done = command("--if-needed", at=NOW + timedelta(hours=30))

    assert done.exit_code == 0 and "No new model is due" in done.output
    assert "because nothing asks for a new model" in done.output


def test_an_explanation_changes_nothing(command, settings):
    done = command("--explain")

    assert "A new model is due" in done.output and "new labels" in done.output
    assert not ledger_of(settings).path.exists() and not settings.bundles.exists()


def test_a_failed_gate_leaves_the_champion_and_is_on_record(command, settings):
    command()

    with pytest.raises(GateError, match=r"repairs version 2 is not promoted: roc_auc is 0\.\d+, must be >= 0.9990"):
        command(at=LATER, objective=replace(OBJECTIVE, gates=(Gate("roc_auc", ">=", 0.999),)))

    assert champion_version(settings.bundles, MODEL) == "1" and shadow_version(settings.bundles, MODEL) is None
    assert [entry.subject for entry in ledger_of(settings).entries(acts=(Act.REJECTION,))] == [f"{MODEL}/2"]


def test_without_labels_the_command_says_what_is_missing(command, settings):
    done = command(at=SPLIT - timedelta(days=30))

    assert "refused: 0 labels can be learned from" in done.output
    assert champion_version(settings.bundles, MODEL) is None
