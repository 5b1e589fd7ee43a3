"""What a training leaves in the ledger."""

from larder.ledger import Act, ledger_of
from tests.training.shop import END
from tests.training.test_promotion import MODEL_NAME
from training.ledger_entries import evaluation_entry, record_unrecorded, training_entry
from training.training_run import train


def test_a_training_and_its_evaluation_are_on_record_with_all_that_they_rest_on(settings, objective, data):
    run, ledger = train(settings, objective, data, model=MODEL_NAME), ledger_of(settings)

    training_entry(ledger, run, data, at=END, reason="it was due")
    evaluation_entry(ledger, run, at=END, reason="newly trained")

    trained, judged = ledger.entries(subject=MODEL_NAME)
    assert (trained.act, trained.subject, trained.reason) == (Act.TRAINING, f"{MODEL_NAME}/1", "it was due")
    assert trained.inputs["data_hash"] == data.lineage.data_hash
    assert trained.inputs["tables"] == {"labels/repairs": 0}
    assert trained.inputs["rows"] == 600
    assert trained.inputs["newest_label"] < "2024-12"
    assert trained.outcome == {"run_id": run.version.run_id, "version": "1"}
    assert judged.act == Act.EVALUATION
    assert judged.inputs["rows"] == 400
    assert [gate["name"] for gate in judged.outcome["gates"]] == [gate.name for gate in objective.gates]
    assert judged.outcome["passed"] == all(gate.passed for gate in run.gates)
    assert judged.outcome["metrics"]["roc_auc"] == run.evaluation.metrics["roc_auc"]
    assert ledger.problem() is None


def test_a_training_that_was_cut_off_before_its_entry_is_on_record_after_the_next(settings, objective, data):
    ledger = ledger_of(settings)
    train(settings, objective, data, model=f"{MODEL_NAME} of others")
    lost, told = (train(settings, objective, data, model=MODEL_NAME) for _ in range(2))
    training_entry(ledger, told, data, at=END, reason="it was due")

    (entry,) = record_unrecorded(ledger, settings, MODEL_NAME, at=END)

    assert (entry.act, entry.subject) == (Act.TRAINING, f"{MODEL_NAME}/{lost.version.number}")
    assert "cut off before it was recorded" in entry.reason
    assert entry.inputs == {"tables": {"labels/repairs": 0}}
    assert record_unrecorded(ledger, settings, MODEL_NAME, at=END) == []
