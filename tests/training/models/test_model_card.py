"""The card of a model, from what its run and the ledger say."""

from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

import training.models_command
from larder.contracts.objective import Card, Label, Slice
from larder.contracts.retraining import Release
from larder.ledger import ledger_of
from larder.ledger.entry import Act
from tests.training.shop import SPLIT, shop_candidate, shop_objective, shop_rows, write_shop
from tests.training.solder import solder_data, solder_objective
from training.data.training_set import training_set
from training.ledger_entries import evaluation_entry, training_entry
from training.models.model_card import UNSAID, model_card, sections
from training.models.tracking import load_challenger
from training.release.begin import promote
from training.training_run import train

MODEL = "repairs"


@pytest.fixture
def released(store, settings, data):
    """Version 1 serves."""
    objective, ledger = shop_objective(), ledger_of(settings)
    write_shop(settings, data.train)
    run = train(settings, objective, data, model=MODEL)
    training_entry(ledger, run, data, at=settings.clock(), reason="asked for")
    evaluation_entry(ledger, run, at=settings.clock(), reason="newly trained")
    promote(
        store, settings, objective, Release(), shop_candidate(settings, objective), ledger=ledger, reason="it is | good"
    )
    return objective


def test_the_card_tells_origin_quality_and_service(settings, released):
    card = model_card(load_challenger(settings, MODEL), released, ledger_of(settings).entries(subject=MODEL))

    assert card.startswith("# Model card: repairs version 1\n\nWill the pan come back?\n")
    assert "d" * 64 in card and "labels/repairs" in card
    assert "From 0.250 on acting costs less than not acting: 1 for a false alarm, 3 for a miss" in card
    rows = [[cell.strip() for cell in line.split("|")] for line in card.splitlines()]
    assert any(row[1:3] == ["gate", "value"] for row in rows if len(row) > 3)
    assert any(row[1] == "rows rebuilt" and row[4] == "yes" for row in rows if len(row) > 4)
    assert any(
        row[1:4:2] == ["roc_auc against champion", "nothing to compare: no version serves yet"]
        for row in rows
        if len(row) > 4
    )
    assert any(row[1] == "north" for row in rows if len(row) > 3)
    assert f"{UNSAID}" in card and "it is \\| good" in card


def test_the_card_says_of_which_time_the_labels_are(store, settings, data):
    rows = shop_rows(1_300, SPLIT - timedelta(days=4), seed=1)
    write_shop(settings, rows)
    objective = shop_objective(label=Label("repairs", "came_back", positive="yes", matures_after=timedelta(days=1)))
    train(settings, objective, training_set(store, settings, objective, service=MODEL), model=MODEL)

    card = model_card(load_challenger(settings, MODEL), objective, [])

    said = "before 2024-01-31 00:00 UTC whose outcome was known before 2024-02-01 00:00 UTC"
    assert f"Labels of `repairs` {said}" in " ".join(card.split())
    assert "rows, from 2024-02-01 00:00 UTC until 2024-02-29 00:00 UTC, that lie after" in " ".join(card.split())


def test_the_card_tells_the_costs_by_which_the_version_was_judged(settings, released):
    dearer = replace(released, kpi=replace(released.kpi, miss=9.0))

    card = model_card(load_challenger(settings, MODEL), dearer, [])

    assert "From 0.250 on acting costs less than not acting: 1 for a false alarm, 3 for a miss" in card


def test_what_a_version_served_ends_where_the_next_begins(settings, released):
    ledger, later = ledger_of(settings), settings.clock()
    ledger.append(Act.PROMOTION, f"{MODEL}/2", at=later, reason="better", inputs={}, outcome={})
    told = {
        section.title: section.content
        for section in sections(load_challenger(settings, MODEL), released, ledger.entries(subject=MODEL))
    }

    service = told["Service"]
    assert service["what"] == ["training", "promotion"]
    assert service["served until"] == ["", f"{later:%Y-%m-%d %H:%M}"]


def test_what_people_declare_stands_in_the_card(settings, data):
    said = Card(intended_use="The counter.", out_of_scope="Dismissals.", considerations="Old pans.", owner="Ann")
    objective = shop_objective(card=said)
    train(settings, objective, data, model=MODEL)

    card = model_card(load_challenger(settings, MODEL), objective, [])

    assert all(text in card for text in ("The counter.", "Dismissals.", "Old pans.", "Ann"))
    assert UNSAID not in card and "Nothing is on record of this version." in card


def test_protected_slices_are_compared(settings, data):
    objective = shop_objective(slices=(Slice("shop", "shop", minimum_rows=50, is_protected=True),), gates=())
    run = train(settings, objective, data, model=MODEL)

    card = model_card(load_challenger(settings, MODEL), objective, [])

    ratio = run.evaluation.fairness["shop"]["demographic_parity_ratio"]
    assert "Demographic parity, ratio" in card and f"{ratio:.4g}" in card


def test_a_number_has_a_card_too(settings):
    objective = solder_objective()
    train(settings, objective, solder_data(), model=MODEL)

    card = model_card(load_challenger(settings, MODEL), objective, [])

    assert "A number, in grams of solder. Each unit too low costs 3, each too high 1" in card
    assert "Mean absolute error" in card and "no slice is declared" in card.lower()


def test_the_command_prints_the_champions_card_and_writes_it(settings, released, monkeypatch, tmp_path):
    monkeypatch.setattr(training.models_command, "use_case_name", lambda _: MODEL)
    monkeypatch.setattr(training.models_command, "declared", lambda *_: replace(released))
    path = tmp_path / "cards" / "repairs.md"

    printed = CliRunner().invoke(training.models_command.models, ["card"], obj=settings)
    written = CliRunner().invoke(training.models_command.models, ["card", "1", "--output", str(path)], obj=settings)

    assert printed.exit_code == 0, printed.output
    assert written.exit_code == 0 and path.read_text().strip() == printed.output.strip()
