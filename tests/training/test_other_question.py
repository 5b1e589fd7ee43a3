"""A use case goes over from yes or no to a number while a champion of the old kind serves."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from deltalake import write_deltalake

import training.release.begin
from larder.contracts.bundle import champion_bundle, champion_version, read_manifest
from larder.contracts.errors import InvalidDataError, SchemaMismatchError
from larder.contracts.objective import Gate
from larder.contracts.retraining import Release, Retraining
from larder.contracts.tables import Lake
from larder.ledger import Act, ledger_of
from tests.training.shop import shop_candidate, shop_data, shop_objective, write_shop
from tests.training.solder import solder_data, solder_objective
from training.data.labels import LabelSelection
from training.models.model_card import model_card
from training.models.tracking import load_challenger
from training.promotion import candidate
from training.release.advance import advance
from training.release.begin import begin_shadow
from training.retraining.policy import asked, decide
from training.retraining.retrain import facts, retrain
from training.training_run import train

MODEL = "repairs"
AGAINST_CHAMPION = Gate("mae", "<=", 0.0, relative_to="champion")


@pytest.fixture
def shop(store, settings):
    """A shop whose champion, version 1, says yes or no; labels hold both kinds."""
    labels = shop_data().train.append_column("solder_g", solder_data().train["solder_g"])
    write_shop(settings, labels)
    write_deltalake(Lake(settings.lake).labels("solder"), labels)
    train(settings, shop_objective(), shop_data(), model=MODEL)
    chosen = shop_candidate(settings, shop_objective(), None)
    training.release.begin.promote(store, settings, shop_objective(), Release(), chosen, ledger=ledger_of(settings))
    return settings


@pytest.fixture
def number(shop):
    """Version 2, the challenger, answers a number."""
    return train(shop, solder_objective(gates=(AGAINST_CHAMPION,)), solder_data(), model=MODEL)


def number_candidate(settings):
    objective = solder_objective(gates=(AGAINST_CHAMPION,))
    return candidate(settings, objective, Release(), model=MODEL, training_data=lambda _: solder_data())


def test_a_champion_of_the_other_kind_is_nothing_to_compare_with(shop, number):
    assert number.evaluation.references["champion"] is None
    [gate] = number.gates
    assert gate.passed and gate.evidence.startswith(
        "version 1 answers yes or no (came_back), and the training file asks"
    )


def test_it_goes_on_serving_until_a_person_promotes_the_other_kind(store, shop, number):
    chosen, objective = number_candidate(shop), solder_objective()

    with pytest.raises(
        SchemaMismatchError, match=r"version 1 answers yes or no \(came_back\), .* a number \(solder_g\)"
    ):
        begin_shadow(store, shop, objective, Release(), chosen, ledger=ledger_of(shop))

    assert champion_version(shop.bundles, MODEL) == "1"
    training.release.begin.promote(store, shop, objective, Release(), chosen, ledger=ledger_of(shop))
    assert read_manifest(champion_bundle(shop.bundles, MODEL)).task == "regression"
    again = train(shop, shop_objective(), shop_data(), model=MODEL)
    assert again.evaluation.references["champion"] is None


def test_the_policy_refuses_and_says_what_to_do(shop):
    objective, policy = solder_objective(), Retraining(minimum_rows=1)

    known = facts(shop, objective, policy, model=MODEL, now=shop.clock(), ledger=ledger_of(shop))

    for decision in (decide(policy, known), asked(policy, known, actor="ann@shop")):
        assert not decision.is_go
        assert any("`larder train` and `larder promote`" in refusal for refusal in decision.refusals)
    same = facts(shop, shop_objective(), policy, model=MODEL, now=shop.clock(), ledger=ledger_of(shop))
    assert same.other_question == ""


def test_a_release_of_the_old_kind_waits_and_says_how_to_end_it(store, shop):
    train(shop, shop_objective(gates=()), shop_data(), model=MODEL)
    chosen, ledger = shop_candidate(shop, shop_objective(gates=()), None), ledger_of(shop)
    begin_shadow(store, shop, shop_objective(gates=()), Release(), chosen, ledger=ledger)
    later = shop.clock() + timedelta(days=90)

    step = advance(shop, solder_objective(), Release(), model=MODEL, ledger=ledger, now=later)

    assert step.act is None and "larder models rollback" in step.reason
    assert champion_version(shop.bundles, MODEL) == "1"
    resumed = advance(shop, shop_objective(), Release(), model=MODEL, ledger=ledger, now=later)
    assert resumed.act is Act.REJECTION  # nobody asked for ninety days


def test_a_challenger_of_the_old_kind_is_not_promoted_for_the_new_question(shop):
    old = solder_objective(label=replace(solder_objective().label, column="came_back"), slices=(), gates=())

    with pytest.raises(SchemaMismatchError, match="was not judged as regression"):
        candidate(shop, old, Release(), model=MODEL, training_data=lambda _: shop_data())


def test_no_card_says_of_a_version_what_the_new_question_is_about(shop):
    with pytest.raises(SchemaMismatchError, match="asks for regression on 'solder_g' now"):
        model_card(load_challenger(shop, MODEL, "1"), solder_objective(), ledger_of(shop).entries(subject=MODEL))


@pytest.mark.parametrize(
    "changed",
    [solder_objective(), shop_objective(kpi=replace(shop_objective().kpi, miss=9.0))],
    ids=["question", "costs"],
)
def test_a_retraining_that_was_cut_off_before_what_is_asked_changed_is_not_taken_up(shop, changed):
    policy, ledger = Retraining(minimum_rows=1, gates=()), ledger_of(shop)
    run = train(shop, shop_objective(), shop_data(), model=MODEL)
    ledger.append(
        Act.TRAINING, f"{MODEL}/{run.version.number}", at=shop.clock(), reason="cut off", inputs={"decision": 1}
    )

    def anew(_: LabelSelection):
        raise InvalidDataError("trained anew")

    with suppress(InvalidDataError):
        retrain(shop, changed, policy, model=MODEL, now=shop.clock(), ledger=ledger, training_data=anew)

    assert ledger.entries(subject=MODEL, acts=(Act.REJECTION,))[-1].outcome == {"lost": True}
