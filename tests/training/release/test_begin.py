"""How a release begins: gates, then service or shadow; on the shop's real models and MLflow."""

import shutil
from dataclasses import replace

import pytest

from larder.contracts.bundle import bundle_baseline
from larder.contracts.errors import ApprovalError, BusyError, GateError, InvalidDataError
from larder.contracts.objective import Gate
from larder.contracts.retraining import Release
from larder.contracts.settings import load_settings
from larder.ledger import Act, Ledger, ledger_of
from tests.training.release.pans import BEGIN, MODEL, acts, standing
from tests.training.shop import shop_candidate
from training.release.begin import begin_shadow, promote
from training.release.registry import champion_mark, mark_champion
from training.release.settle import settle
from training.training_run import train

STRICT = (Gate("roc_auc", ">=", 0.99),)


@pytest.fixture
def settings(tmp_path, empty_mlflow):
    built = load_settings({"LARDER_HOME": str(tmp_path / "my pans"), "LARDER_CLOCK": BEGIN.isoformat()})
    built.state.mkdir(parents=True)
    shutil.copy(empty_mlflow, built.state / "mlflow.db")
    return built


@pytest.fixture
def ledger(settings) -> Ledger:
    return ledger_of(settings, actor="tester@here")


def test_the_first_version_serves_at_once_the_next_goes_into_shadow_and_a_third_waits(
    store, settings, objective, data, policy, ledger
):
    objective = replace(objective, gates=())
    chosen = []
    for _ in range(3):
        train(settings, objective, data, model=MODEL)
        chosen.append(shop_candidate(settings, objective))

    for one in (chosen[0], chosen[0], chosen[1], chosen[1]):
        begin_shadow(store, settings, objective, policy, one, ledger=ledger)
    with pytest.raises(BusyError, match="One release at a time: version 2 is in shadow"):
        begin_shadow(store, settings, objective, policy, chosen[2], ledger=ledger)

    assert acts(ledger) == ["promotion 1", "shadow 2"] and standing(settings, ledger) == ("1", "2")
    assert ledger.entries()[-1].reason == "passed its gates; answers unseen beside version 1 for 2 days at least"
    first = ledger.entries()[0]
    mark = champion_mark(settings, MODEL)
    assert mark is not None and (mark.version, mark.entry) == ("1", first.hash)
    assert first.inputs["data_hash"] == "d" * 64 and first.inputs["run_id"] == chosen[0].challenger.version.run_id
    assert bundle_baseline(settings.bundles / MODEL / "1") == chosen[0].challenger.description.baseline

    promote(store, settings, objective, policy, chosen[2], ledger=ledger, reason="cannot wait")

    assert standing(settings, ledger) == ("3", None)
    assert (ledger.entries()[-1].reason, ledger.entries()[-1].actor) == ("cannot wait", "tester@here")


def test_a_failed_gate_is_on_record_and_nothing_else_happens(store, settings, objective, data, policy, ledger):
    train(settings, objective, data, model=MODEL)
    strict = replace(objective, gates=STRICT)

    with pytest.raises(GateError, match="roc_auc"):
        begin_shadow(store, settings, strict, policy, shop_candidate(settings, strict), ledger=ledger)

    [entry] = ledger.entries(acts=(Act.REJECTION,))
    assert entry.reason == "failed its gates: roc_auc" and entry.inputs["gates"][0]["passed"] is False
    assert standing(settings, ledger) == (None, None) and not (settings.bundles / MODEL / "1").exists()


def test_a_ledger_that_was_rebuilt_from_its_beginning_shows_against_mlflow(store, settings, objective, data, ledger):
    train(settings, objective, data, model=MODEL)
    promote(store, settings, objective, Release(), shop_candidate(settings, objective), ledger=ledger)
    for file in settings.state.glob("ledger.*"):
        file.unlink()
    ledger.append(Act.PROMOTION, f"{MODEL}/1", at=BEGIN, reason="always was", inputs={}, outcome={})

    assert ledger.problem() is None
    with pytest.raises(InvalidDataError, match=r"MLflow names entry .* it was lost or rebuilt"):
        settle(settings, MODEL, ledger)


def test_an_alias_that_somebody_moved_comes_back(store, settings, objective, data, ledger):
    for _ in range(2):
        train(settings, objective, data, model=MODEL)
    promote(store, settings, objective, Release(), shop_candidate(settings, objective, "1"), ledger=ledger)
    entry = ledger.entries()[-1].hash
    mark_champion(settings, MODEL, version="2", entry=entry)

    assert settle(settings, MODEL, ledger) == ["MLflow's champion is version 1"]
    mark = champion_mark(settings, MODEL)
    assert mark is not None and mark.version == "1"


def test_neither_the_first_version_nor_a_promotion_by_hand_serves_unapproved(
    store, settings, objective, data, policy, ledger
):
    from training.release.approval import approve

    objective, policy = replace(objective, gates=()), replace(policy, approvals=1)
    train(settings, objective, data, model=MODEL)
    chosen = shop_candidate(settings, objective)
    ledger.append(Act.TRAINING, f"{MODEL}/1", at=BEGIN, reason="asked for")

    with pytest.raises(ApprovalError, match="so far nobody did"):
        begin_shadow(store, settings, objective, policy, chosen, ledger=ledger)
    with pytest.raises(ApprovalError, match="so far nobody did"):
        promote(store, settings, objective, policy, chosen, ledger=ledger)
    assert standing(settings, ledger) == (None, None)

    approve(settings, MODEL, "1", ledger=ledger_of(settings, actor="ann@desk"), now=BEGIN, reason="looked at it")
    promote(store, settings, objective, policy, chosen, ledger=ledger)

    assert standing(settings, ledger) == ("1", None)
