"""What the ledger keeps of a training and of how its model was judged."""

from dataclasses import asdict, replace
from datetime import datetime

import pyarrow.compute as pc

from larder.contracts.objective import Objective
from larder.contracts.retraining import Retraining
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.ledger import Act, Entry, Ledger
from larder.model_registry import model_pins
from training.data.training_set import TrainingSet
from training.models.tracking import Version
from training.training_run import TrainingRun

DECISION = "decision"
"""In the inputs of a training: number of the decision that it follows; absent where a person asked for it alone."""


def training_entry(
    ledger: Ledger, run: TrainingRun, data: TrainingSet, *, at: datetime, reason: str, decision: int | None = None
) -> Entry:
    """The new version, and all that it was learned from."""
    return ledger.append(
        Act.TRAINING,
        _subject(run.version),
        at=at,
        reason=reason,
        inputs=({} if decision is None else {DECISION: decision})
        | {
            "service": data.lineage.service,
            "tables": data.lineage.tables,
            "data_hash": data.lineage.data_hash,
            "registry_hash": data.lineage.registry_hash,
            "commit": data.lineage.commit,
            "rows": data.train.num_rows,
            "newest_label": pc.max(data.train[EVENT_TIMESTAMP]).as_py(),
        },
        outcome={"run_id": run.version.run_id, "version": run.version.number},
    )


def judged_as_trained(
    objective: Objective, policy: Retraining, ledger: Ledger, *, model: str, version: str
) -> Objective:
    """The objective, with the gates of a retraining where the version comes from one.

    It was judged on the newest labels alone, and beside those references only that these gates compare with.
    """
    entries = ledger.entries(subject=f"{model}/{version}", acts=(Act.TRAINING,))
    if policy.gates is None or not any(DECISION in entry.inputs for entry in entries):
        return objective
    return replace(objective, gates=policy.gates)


def record_unrecorded(ledger: Ledger, settings: Settings, model: str, *, at: datetime) -> list[Entry]:
    """An entry for each version in MLflow that has none: its training was cut off before it was recorded.

    It has the tables; what else the version was learned from, and how it was judged, its MLflow run tells. Raises what
    `model_pins` raises.
    """
    recorded = {entry.subject for entry in ledger.entries(subject=model, acts=(Act.TRAINING,))}
    trained = [pins for pins in model_pins(settings) if pins.model.rpartition("/")[0] == model and pins.tables]
    reason = "Registered in MLflow without an entry: its training was cut off before it was recorded."
    return [
        ledger.append(
            Act.TRAINING,
            pins.model,
            at=at,
            reason=reason,
            inputs={"tables": pins.tables},
            outcome={"version": pins.model.rpartition("/")[2]},
        )
        for pins in trained
        if pins.model not in recorded
    ]


def evaluation_entry(ledger: Ledger, run: TrainingRun, *, at: datetime, reason: str) -> Entry:
    """What the new version reached on the rows that it is judged by, and each gate."""
    return ledger.append(
        Act.EVALUATION,
        _subject(run.version),
        at=at,
        reason=reason,
        inputs={"run_id": run.version.run_id, "rows": run.evaluation.rows},
        outcome={
            "passed": all(gate.passed for gate in run.gates),
            "gates": [asdict(gate) for gate in run.gates],
            "metrics": dict(run.evaluation.metrics),
        },
    )


def _subject(version: Version) -> str:
    return f"{version.model}/{version.number}"
