"""Conditions that a challenger meets before it serves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from larder.contracts.errors import GateError
from larder.contracts.objective import CHAMPION, FAIRNESS, Gate
from larder.evaluation import Evaluation, Floats, Outcomes, Task

FAIRNESS_METRICS = {metric for metrics in FAIRNESS.values() for metric in metrics}


@dataclass(frozen=True)
class GateResult:
    """A gate beside what the challenger reached."""

    name: str
    value: float | None
    limit: float | None
    """None where there is no champion to compare with; the gate is then passed."""
    direction: str
    passed: bool
    evidence: str = ""
    """What else a reader should know of the value, such as how far it may be off by chance."""


def gate_results(gates: Sequence[Gate], evaluation: Evaluation) -> list[GateResult]:
    """Every gate with its value and limit, in declared order."""
    return [_result(gate, evaluation) for gate in gates]


def champion_evidence(
    results: Sequence[GateResult], task: Task, outcome: Outcomes, predicted: Floats, champion: Floats | None
) -> list[GateResult]:
    """The results, the one on the task's loss against the champion with the paired interval of their difference.

    A declared limit decides, the interval tells whether as many rows could tell the two apart at all.
    """
    if champion is None:
        return list(results)
    gap = task.losses(outcome, predicted)[task.loss] - task.losses(outcome, champion)[task.loss]
    mean, reach = float(gap.mean()), 1.96 * float(gap.std()) / np.sqrt(len(gap))
    said = f"difference {mean:+.4f}, 95% interval {mean - reach:+.4f} to {mean + reach:+.4f} on {len(gap):,} rows"
    name = Gate(task.loss, "<=", 0.0, relative_to=CHAMPION).name
    return [replace(result, evidence=said) if result.name == name else result for result in results]


def require_passed(results: Sequence[GateResult], *, model: str) -> None:
    """Raises GateError that names every gate that failed."""
    failed = [
        f"{gate.name} is {_number(gate.value)}, must be {gate.direction} {_number(gate.limit)}"
        + (f" ({gate.evidence})" if gate.evidence else "")
        for gate in results
        if not gate.passed
    ]
    if failed:
        raise GateError(
            f"{model} is not promoted: {'; '.join(failed)}. The champion stays. Improve the features or the model and "
            "run `larder train` again, or change the gates in the training file, for a reason."
        )


def _result(gate: Gate, evaluation: Evaluation) -> GateResult:
    value, limit = _value(gate, evaluation), _limit(gate, evaluation)
    if limit is None:
        passed = True
    elif value is None:
        passed = False
    else:
        passed = value >= limit if gate.direction == ">=" else value <= limit
    return GateResult(gate.name, value, limit, gate.direction, passed)


def _value(gate: Gate, evaluation: Evaluation) -> float | None:
    """The metric, or its worst among the slice's values; None where too few values have enough rows."""
    if not gate.slice:
        return evaluation.metrics[gate.metric]
    if gate.metric in FAIRNESS_METRICS:
        return evaluation.fairness.get(gate.slice, {}).get(gate.metric)
    found = [score.metrics.get(gate.metric) for score in evaluation.slices if score.slice == gate.slice]
    values = [value for value in found if value is not None]
    if not values:
        return None
    return min(values) if gate.direction == ">=" else max(values)


def _limit(gate: Gate, evaluation: Evaluation) -> float | None:
    if not gate.relative_to:
        return gate.limit
    reference = evaluation.references.get(gate.relative_to)
    if reference is None:
        if gate.relative_to != CHAMPION:
            raise GateError(
                f"Gate {gate.name!r} compares with {gate.relative_to!r}, which this model was not trained beside. "
                "Run `larder train` again."
            )
        return None
    return reference[gate.metric] + gate.limit


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
