"""What a person, and the run's report, see of training and promotion."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from larder.contracts.objective import Objective
from larder.evaluation import Evaluation, task_of
from training.data.training_set import TrainingSet
from training.gates import GateResult
from training.release.begin import Promotion
from training.training_run import TrainingRun


def print_metrics(console: Console, objective: Objective, evaluation: Evaluation) -> None:
    """The challenger's metrics beside its references', over the test rows."""
    others = {name: metrics for name, metrics in evaluation.references.items() if metrics is not None}
    title = f"Judged on {evaluation.rows:,} test rows"
    table = Table("metric", "challenger", *others, title=title, title_justify="left")
    for metric in objective.shown_metrics:
        values = [evaluation.metrics[metric], *(metrics[metric] for metrics in others.values())]
        name = f"{objective.kpi.name}, {objective.kpi.unit}" if metric == "kpi" else metric
        table.add_row(name, *(f"{value:.4f}" for value in values))
    console.print(table)


def print_gates(console: Console, gates: list[GateResult]) -> None:
    """Every gate with its value and limit, passed or not."""
    table = Table("gate", "value", "", "limit", "", title="Gates", title_justify="left")
    for gate in gates:
        mark = "[green]passed[/]" if gate.passed else "[red]failed[/]"
        limit = "nothing to compare" if gate.limit is None else f"{gate.limit:.4f}"
        table.add_row(gate.name, "unknown" if gate.value is None else f"{gate.value:.4f}", gate.direction, limit, mark)
    console.print(table)
    for gate in gates:
        if gate.limit is None:
            said = f"{gate.name} is passed unseen: {gate.evidence}."
            console.print(said, highlight=False, markup=False, soft_wrap=True)


def train_report(
    objective: Objective, data: TrainingSet, run: TrainingRun, *, use_case: str, training_set_seconds: float
) -> dict[str, Any]:
    """The content of `train.json`."""
    judged, task = run.evaluation, task_of(objective)
    return {
        "use_case": use_case,
        "question": objective.question,
        "task": {"name": task.name, "ranking": task.ranking, "loss": task.loss, "no_skill": task.no_skill},
        "model": {"name": run.version.model, "version": run.version.number, "run_id": run.version.run_id},
        "metrics": {**judged.metrics, "rows": judged.rows},
        "references": judged.references,
        "gates": [asdict(gate) for gate in run.gates],
        "test_window": _test_window(objective, data),
        "rows": {"train": data.train.num_rows, "test": data.test.num_rows},
        "curves": {
            "roc": None if judged.roc is None else asdict(judged.roc),
            "calibration": asdict(judged.calibration),
            "importance": [{"feature": name, "value": value} for name, value in run.importance.items()],
        },
        "slices": [
            {"slice": part.slice, "value": part.value, "rows": part.rows, "ranking": part.metrics.get(task.ranking)}
            for part in judged.slices
        ],
        "fairness": judged.fairness,
        "kpi": {
            "name": objective.kpi.name,
            "unit": objective.kpi.unit,
            "value": judged.metrics["kpi"],
            "reference": judged.kpi_without_model,
            "description": objective.kpi.description,
        },
        "data": {
            "tables": data.lineage.tables,
            "data_hash": data.lineage.data_hash,
            "registry_hash": data.lineage.registry_hash,
            "commit": data.lineage.commit,
        },
        "seconds": {
            "training_set": round(training_set_seconds, 2),
            "fit": round(run.fit_seconds, 2),
            "evaluate": round(run.evaluate_seconds, 2),
        },
    }


def _test_window(objective: Objective, data: TrainingSet) -> list[str]:
    """Of the predictions that it was judged on: the declared window, as far as it is mature."""
    taken = data.lineage.labels or objective
    return [taken.split_at.isoformat(), taken.test_until.isoformat()]


def promote_report(done: Promotion) -> dict[str, Any]:
    """The content of `promote.json`."""
    return {
        "model": done.version.model,
        "version": done.version.number,
        "bundle": str(done.bundle),
        "runtime": done.export.runtime,
        "parity": {"rows": done.export.rows, "max_difference": done.export.max_difference},
        "gates": [asdict(gate) for gate in done.gates],
    }
