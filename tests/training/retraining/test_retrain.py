"""Retraining on the shop, with real MLflow, Delta and ledger: what is read, what is recorded, what a kill leaves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import mlflow
import pyarrow as pa
import pytest
from deltalake import write_deltalake

import training.retraining.retrain
from larder.contracts.errors import BusyError, InvalidDataError, MissingColumnsError
from larder.contracts.monitoring import Finding, Verdict
from larder.contracts.objective import Gate
from larder.contracts.retraining import Retraining, TrainingWindow, Trigger
from larder.contracts.tables import Lake
from larder.findings import append_findings
from larder.ledger import Act, ledger_of
from larder.lock import only_one
from tests.training.shop import COLUMNS, SPLIT, shop_objective, shop_rows
from training.data.labels import read_labels
from training.data.lineage import Lineage
from training.data.training_set import TrainingSet
from training.models.tracking import load_challenger, load_record
from training.retraining.retrain import facts, retrain

MODEL = "repairs"
NOW = SPLIT + timedelta(days=3)
OBJECTIVE = shop_objective(
    gates=(Gate("roc_auc", ">=", 0.7),), split_at=datetime(2020, 1, 1, tzinfo=UTC), test_until=SPLIT
)
POLICY = Retraining(judged_on=timedelta(days=1), minimum_rows=200, cool_down=timedelta(days=1), growth=0.5)
ROWS = shop_rows(1_300, SPLIT - timedelta(days=4), seed=1)
"""One repair each ten minutes, known an hour later, until two days after `NOW`."""


@pytest.fixture
def shop(settings):
    """Settings with a label table; its rows bring the features along."""
    write_deltalake(Lake(settings.lake).labels("repairs"), ROWS)
    return settings


@pytest.fixture
def ledger(settings):
    return ledger_of(settings, actor="cron@shop")


def retrained(shop, ledger, *, now=NOW, objective=OBJECTIVE, policy=POLICY, **changes):
    def training_data(selection):
        taken.append(selection)
        others = replace(selection, others=("shop", *COLUMNS.names))
        labels = read_labels(Lake(shop.lake).labels("repairs"), others, ["pan"])
        lineage = Lineage("repairs", {"labels/repairs": labels.version}, "d" * 64, "r" * 64, None, selection)
        return TrainingSet(labels.train, labels.test, COLUMNS, "came_back", lineage)

    taken = []
    done = retrain(shop, objective, policy, model=MODEL, now=now, ledger=ledger, training_data=training_data, **changes)
    return done, taken


def acts(ledger) -> list[str]:
    return [str(entry.act) for entry in ledger.entries(subject=MODEL)]


def has_passed(done) -> bool:
    return all(gate.passed for gate in done.run.gates)


def test_the_first_training_is_judged_on_the_newest_labels_and_on_record(shop, ledger):
    done, [selection] = retrained(shop, ledger)

    assert has_passed(done) and done.run.version.number == "1"
    assert (selection.split_at, selection.test_until, selection.known_by) == (NOW - timedelta(days=1), NOW, NOW)
    decision, trained, judged = ledger.entries(subject=MODEL)
    assert (decision.act, trained.act, judged.act) == (Act.DECISION, Act.TRAINING, Act.EVALUATION)
    assert decision.reason == trained.reason == "no version serves yet" and decision.outcome["train"]
    assert trained.inputs["decision"] == decision.number and trained.actor == "cron@shop"
    assert judged.outcome["passed"] and ledger.problem() is None
    assert load_challenger(shop, MODEL).description.baseline.rows == trained.inputs["rows"]


def test_the_facts_are_those_of_the_ledger_and_of_the_labels(shop, ledger):
    _, [selection] = retrained(shop, ledger)
    newest = load_challenger(shop, MODEL).description.lineage.labels.split_at

    later = facts(shop, OBJECTIVE, POLICY, model=MODEL, now=NOW + timedelta(hours=12), ledger=ledger)

    [last] = later.trainings
    labels = read_labels(Lake(shop.lake).labels("repairs"), selection, ["pan"])
    assert (last.version, last.at, last.rows) == ("1", NOW, labels.train.num_rows)
    assert last.newest_label_at == labels.train["event_timestamp"][-1].as_py() < newest
    assert later.labels.learnable - last.rows == 72  # twelve hours, one each ten minutes
    assert later.champion is None and later.pending == ""
    assert later.labels.new == later.labels.learnable  # to what serves, and nothing does, all are new


def test_of_the_findings_the_facts_hold_those_that_the_policy_looks_at(shop, ledger):
    volume = bad_data(NOW)
    psi = replace(volume, monitor="drift", metric="psi", subject="prediction")
    gap = replace(psi, metric="kolmogorov_smirnov")
    append_findings(Lake(shop.lake).monitoring(MODEL), [volume, psi, gap, replace(psi, subject="age")])
    policy = replace(POLICY, triggers=(Trigger("drift", "psi", subject="prediction"),))

    found = facts(shop, OBJECTIVE, policy, model=MODEL, now=NOW, ledger=ledger).findings

    assert found == (volume, psi)


def test_without_label_table_findings_or_model_the_answer_is_a_refusal_on_record(settings, ledger):
    done, taken = retrained(settings, ledger)

    assert done.run is None and taken == []
    assert done.decision.is_due and "0 labels can be learned from" in done.decision.refusals[0]
    assert acts(ledger) == ["decision"] and not ledger.entries()[0].outcome["train"]


def test_a_label_column_that_the_table_lacks_is_named(shop, ledger):
    objective = replace(OBJECTIVE, label=replace(OBJECTIVE.label, column="comes_back"))

    with pytest.raises(MissingColumnsError, match=r"lacks \['comes_back'\]; it has .*'came_back'"):
        facts(shop, objective, POLICY, model=MODEL, now=NOW, ledger=ledger)


def test_a_no_for_the_same_reasons_is_recorded_once_a_day(shop, ledger):
    write_place = Lake(shop.lake).monitoring(MODEL)
    append_findings(write_place, [bad_data(NOW)])
    for hours in (0, 1, 23, 25, 30):
        retrained(shop, ledger, now=NOW + timedelta(hours=hours))

    assert acts(ledger) == ["decision"] * 2
    append_findings(write_place, [replace(bad_data(NOW), monitor="nulls")])
    retrained(shop, ledger, now=NOW + timedelta(hours=31))
    assert acts(ledger) == ["decision"] * 3


def test_bad_data_let_nothing_be_trained(shop, ledger):
    append_findings(Lake(shop.lake).monitoring(MODEL), [bad_data(NOW)])

    done, taken = retrained(shop, ledger)

    assert done.decision.refusals == ("volume alarms: answers: 9 answers, 900 are usual",)
    assert done.run is None and taken == []


def test_a_challenger_that_was_rejected_is_not_taken_up_again(shop, ledger):
    strict = replace(OBJECTIVE, gates=(Gate("roc_auc", ">=", 0.999),))

    done, _ = retrained(shop, ledger, objective=strict)
    ledger.append(Act.REJECTION, f"{MODEL}/1", at=NOW, reason="failed its gates: roc_auc")
    again, _ = retrained(shop, ledger, objective=strict, now=NOW + timedelta(hours=1))

    assert not has_passed(done) and again.run is None
    assert acts(ledger) == ["decision", "training", "evaluation", "rejection", "decision"]
    assert "at least 1 day must lie between two" in again.decision.refusals[0]


@pytest.mark.parametrize("step", ["training_entry", "evaluation_entry", "_record_evaluation", "retrained"])
def test_a_kill_at_any_step_leaves_work_that_the_next_call_completes(shop, ledger, monkeypatch, step):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(training.retraining.retrain, step, killed)
        with pytest.raises(KeyboardInterrupt):
            retrained(shop, ledger)

    done, _ = retrained(shop, ledger, now=NOW + timedelta(minutes=5))

    assert has_passed(done) and ledger.problem() is None
    # A version that was registered and not recorded is recorded before the next one is trained.
    trained = ["training", "training"] if step == "training_entry" else ["training"]
    assert [act for act in acts(ledger) if act != "decision"] == [*trained, "evaluation"]
    assert load_challenger(shop, MODEL).version == done.run.version


def test_a_challenger_whose_release_never_began_is_taken_up_without_training_again(shop, ledger):
    ledger.append(Act.PROMOTION, f"{MODEL}/0", at=NOW - timedelta(days=1), reason="serves")
    first, _ = retrained(shop, ledger)

    again, taken = retrained(shop, ledger, now=NOW + timedelta(hours=2))

    assert taken == [] and again.run.version == first.run.version and has_passed(again)
    assert again.decision.reasons[0].startswith("version 1 was trained at 2024-02-04 00:00 and cut off")
    ledger.append(Act.SHADOW, f"{MODEL}/1", at=NOW + timedelta(hours=3), reason="passed")
    begun, _ = retrained(shop, ledger, now=NOW + timedelta(hours=4))
    assert begun.run is None
    assert begun.decision.refusals[0] == "a release is under way: version 1 answers unseen since 2024-02-04 03:00"


def test_an_unfinished_challenger_that_was_damaged_is_rejected_and_trained_anew(shop, ledger):
    retrained(shop, ledger)
    [model] = shop.state.glob("mlruns/**/model.skops")
    model.write_bytes(b"evil")

    done, _ = retrained(shop, ledger, now=NOW + timedelta(hours=1))

    assert has_passed(done) and done.run.version.number == "2"
    rejected = ledger.entries(subject=f"{MODEL}/1", acts=(Act.REJECTION,))
    assert "is not what its run logged" in rejected[0].reason


def test_a_second_retraining_at_the_same_time_is_refused(shop, ledger):
    with (
        only_one(shop.state / f"retrain-{MODEL}.lock", "retraining"),
        pytest.raises(BusyError, match="Another retraining of 'repairs' is running"),
    ):
        retrained(shop, ledger)

    assert acts(ledger) == []


def test_an_edited_ledger_lets_nothing_be_trained(shop, ledger):
    retrained(shop, ledger, policy=replace(POLICY, minimum_rows=100_000))
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"no version", b"NO version"))

    with pytest.raises(InvalidDataError, match=r"Entry 1 .* was changed after it was written"):
        retrained(shop, ledger)


def test_the_training_window_and_the_weights_are_part_of_the_run(shop, ledger):
    window = TrainingWindow(last=timedelta(days=2), half_life=timedelta(days=1))

    done, [selection] = retrained(shop, ledger, policy=replace(POLICY, window=window))

    parameters = mlflow.MlflowClient(shop.mlflow).get_run(done.run.version.run_id).data.params
    assert selection.train_from == selection.split_at - timedelta(days=2)
    assert parameters["half_life_days"] == "1.0" and parameters["train_from"] == selection.train_from.isoformat()
    assert load_record(shop, f"{MODEL}/1").labels == selection
    assert int(parameters["train_rows"]) == 288 - 6  # two days, but for the last hour, whose labels came later


def test_only_references_that_a_gate_names_are_fitted(shop, ledger):
    done, _ = retrained(shop, ledger)
    named = replace(OBJECTIVE, gates=(Gate("log_loss", "<=", 0.1, relative_to="calendar"),))
    beside, _ = retrained(shop, ledger_of(replace(shop, state=shop.state / "other")), objective=named)

    assert set(done.run.evaluation.references) == {"constant", "champion"}
    assert set(beside.run.evaluation.references) == {"constant", "calendar", "champion"}


def test_labels_without_any_outcome_in_the_judged_days_are_said_so(shop, ledger):
    silent = replace(OBJECTIVE.label, table="silent")
    came_back = pa.chunked_array([pa.nulls(ROWS.num_rows, pa.bool_())])
    write_deltalake(Lake(shop.lake).labels("silent"), ROWS.set_column(4, "came_back", came_back))

    done, _ = retrained(shop, ledger, objective=replace(OBJECTIVE, label=silent))

    assert "a new model could not be judged: no label is known of the last 1 day" in done.decision.refusals


def bad_data(at: datetime) -> Finding:
    evidence = "9 answers, 900 are usual"
    return Finding(at, at - timedelta(days=1), at, "volume", "answers", "rows", 9.0, 900.0, Verdict.ALARM, evidence)
