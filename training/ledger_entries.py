"""What the ledger keeps of a training and of how its model was judged."""

from dataclasses import asdict
from datetime import datetime

import pyarrow.compute as pc

from larder.contracts.tables import EVENT_TIMESTAMP
from larder.ledger import Act, Entry, Ledger
from training.tracking import Version
from training.training_run import TrainingRun
from training.training_set import TrainingSet

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
