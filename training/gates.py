"""Conditions that a challenger meets before it serves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from larder.contracts.errors import GateError
from larder.contracts.objective import CHAMPION, FAIRNESS, Gate
from larder.evaluation import Evaluation, Floats, Outcomes, SliceScore, Task

FAIRNESS_METRICS = {metric for metrics in FAIRNESS.values() for metric in metrics}
Metrics = Mapping[str, float]
"""Metric -> value."""


_DECLARED = (
    "Improve the features or the model and run `larder train` again, or change the gates in the training file, for a "
    "reason."
)


@dataclass(frozen=True)
class GateResult:
    """A gate beside what the challenger reached."""

    name: str
    value: float | None
    limit: float | None
    """None where no champion can be compared with; the gate is then passed, and `evidence` says why."""
    direction: str
    passed: bool
    evidence: str = ""
    """What else a reader should know of the value, such as how far it may be off by chance."""
    remedy: str = _DECLARED
    """What helps where it fails."""


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
    failed = [gate for gate in results if not gate.passed]
    if failed:
        said = "; ".join(map(_in_words, failed))
        remedies = " ".join(dict.fromkeys(gate.remedy for gate in failed))
        raise GateError(f"{model} is not promoted: {said}. The champion stays. {remedies}")


def _result(gate: Gate, evaluation: Evaluation) -> GateResult:
    """Of a slice, the value that fails by most or passes by least, each beside its own limit."""
    values = _values(gate, evaluation.metrics, evaluation.slices, evaluation.fairness)
    sign = 1 if gate.direction == ">=" else -1
    if gate.relative_to == CHAMPION and evaluation.references.get(CHAMPION) is None:
        value = min(values.values(), key=lambda found: sign * found, default=None)
        return GateResult(gate.name, value, None, gate.direction, True, evaluation.champion_unjudged)
    limits = _limits(gate, evaluation, values)
    if not values:
        evidence = f"too few values of {gate.slice} have as many test rows as its minimum_rows asks for"
        return GateResult(gate.name, None, gate.limit, gate.direction, False, evidence)

    def margin(name: str) -> float:
        found = sign * (values[name] - limits[name])
        return -np.inf if np.isnan(found) else found

    worst = min(values, key=margin)
    evidence = f"{gate.slice}={worst}" if worst else ""
    return GateResult(gate.name, values[worst], limits[worst], gate.direction, margin(worst) >= 0, evidence)


def _values(
    gate: Gate, metrics: Metrics, slices: Sequence[SliceScore], fairness: Mapping[str, Metrics]
) -> dict[str, float]:
    """The metric under the empty name, or under each value of the gate's slice that can be judged."""
    if gate.metric in FAIRNESS_METRICS:
        compared = fairness.get(gate.slice, {})
        return {"": compared[gate.metric]} if compared else {}
    if not gate.slice:
        return {"": metrics[gate.metric]}
    found = {score.value: score.metrics.get(gate.metric) for score in slices if score.slice == gate.slice}
    return {name: value for name, value in found.items() if value is not None}


def _limits(gate: Gate, evaluation: Evaluation, values: Iterable[str]) -> dict[str, float]:
    """Of each of `values`. Raises GateError when the reference was not judged on the same."""
    if not gate.relative_to:
        return dict.fromkeys(values, gate.limit)
    reference = evaluation.references.get(gate.relative_to)
    slices = evaluation.reference_slices.get(gate.relative_to, [])
    bases = {} if reference is None else _values(gate, reference, slices, {})
    if not bases.keys() >= set(values):
        raise GateError(
            f"Gate {gate.name!r} compares with {gate.relative_to!r}, which this model was not judged beside. "
            "Run `larder train` again."
        )
    return {name: base + gate.limit for name, base in bases.items()}


def _in_words(gate: GateResult) -> str:
    evidence = f" ({gate.evidence})" if gate.evidence else ""
    return f"{gate.name} is {_number(gate.value)}, must be {gate.direction} {_number(gate.limit)}{evidence}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
