"""One report out of what the steps of a run left behind."""

from collections.abc import Mapping
from typing import Any

import msgspec

from larder.contracts.errors import InvalidDataError
from larder.contracts.objective import CLASSIFICATION

STEPS = {
    "train": "larder train",
    "promote": "larder promote",
    "ask": "larder ask",
    "verify": "larder verify",
    "run": "larder run",
}
"""Step whose result the report reads -> the command that leaves that result."""


class Task(msgspec.Struct, frozen=True):
    """What is predicted, and the two metrics that say most about it."""

    name: str = CLASSIFICATION
    ranking: str = "roc_auc"
    """Higher is better; `no_skill` is a constant's."""
    loss: str = "log_loss"
    no_skill: float = 0.5


Scores = dict[str, float | None]
"""Metric -> value on the test window; None where it is not defined."""


class Gate(msgspec.Struct, frozen=True):
    """A condition that a challenger must meet: `value` `direction` `limit`."""

    name: str
    value: float | None
    limit: float | None
    direction: str
    passed: bool
    evidence: str = ""


class Kpi(msgspec.Struct, frozen=True):
    """What the model is worth in the use case's own unit, beside doing without it."""

    name: str
    unit: str
    value: float | None
    reference: float | None = None
    description: str = ""


class Slice(msgspec.Struct, frozen=True):
    """Quality on the test rows where the column `slice` has `value`."""

    slice: str
    value: Any
    rows: int
    ranking: float | None = None
    """The task's ranking metric there."""


class Importance(msgspec.Struct, frozen=True):
    feature: str
    value: float


class Roc(msgspec.Struct, frozen=True):
    false_positive_rate: tuple[float, ...] = ()
    true_positive_rate: tuple[float, ...] = ()


class Calibration(msgspec.Struct, frozen=True):
    """Mean prediction, mean outcome (of yes or no: the share of yes) and number of rows, per bin."""

    predicted: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()
    count: tuple[int, ...] = ()


class Curves(msgspec.Struct, frozen=True):
    roc: Roc | None = None
    """None where numbers are predicted."""
    calibration: Calibration = Calibration()
    importance: tuple[Importance, ...] = ()


class Parity(msgspec.Struct, frozen=True):
    """Served runtime against the trained model, over real rows."""

    rows: int
    max_difference: float


class FeatureCheck(msgspec.Struct, frozen=True):
    """One feature, counted over the entities of its view."""

    feature: str
    equal: int
    different: int
    missing: int = 0
    """Of the different ones: the online store lacks the entity."""
    stale: int = 0
    """Older than the time to live on both sides, hence withheld."""
    causes: dict[str, int] = {}
    """The different ones by cause."""


class ViewCheck(msgspec.Struct, frozen=True):
    view: str
    entities: int
    features: tuple[FeatureCheck, ...] = ()
    strays: int = 0
    """Entities online that history has never heard of; each of their features is different."""
    error: str = ""
    """Why the view could not be compared; nothing is counted then."""

    @property
    def different(self) -> int:
        return sum(check.different for check in self.features) + self.strays * len(self.features)


class Verification(msgspec.Struct, frozen=True):
    """Online against offline, at one instant, for every entity of every view."""

    compared: int
    different: int
    views: tuple[ViewCheck, ...] = ()
    at: str = ""
    seconds: float | None = None

    @property
    def unread(self) -> tuple[str, ...]:
        """Views that could not be compared."""
        return tuple(view.view for view in self.views if view.error)


class Answer(msgspec.Struct, frozen=True):
    """A request to the server, its prediction with the features used, and what really happened (None: not known)."""

    request: dict[str, Any]
    answer: dict[str, Any]
    outcome: bool | float | None = None


class RunReport(msgspec.Struct, frozen=True):
    """The result of a run. What no step has left yet is empty or None, and `missing` names the command."""

    at: str
    """The clock's instant, ISO 8601, UTC."""
    missing: dict[str, str]
    """Step without a result -> the command that leaves it."""
    use_case: str = ""
    question: str = ""
    task: Task = Task()
    model: dict[str, str] = {}
    """`name`, `version`, `run_id`, and after promotion `champion` (the version that serves) and `runtime`."""
    roc_auc: float | None = None
    log_loss: float | None = None
    metrics: Scores = {}
    references: dict[str, Scores | None] = {}
    gates: tuple[Gate, ...] = ()
    test_window: tuple[str, ...] = ()
    rows: dict[str, int] = {}
    kpi: Kpi | None = None
    curves: Curves = Curves()
    slices: tuple[Slice, ...] = ()
    data: dict[str, Any] = {}
    parity: Parity | None = None
    verify: Verification | None = None
    answers: tuple[Answer, ...] = ()
    is_hindsight: bool = False
    """Whether answers are about instants before the one at which they were asked for."""
    latency_ms: dict[str, float] = {}
    seconds: dict[str, float] = {}
    """Step of the run -> seconds, in the order of the run."""
    peak_memory_gb: dict[str, float] = {}

    @property
    def is_promoted(self) -> bool:
        """Whether the version that was trained last is the one that serves."""
        return "version" in self.model and self.model["version"] == self.model.get("champion")

    @property
    def failed_gates(self) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if not gate.passed)


def run_report(results: Mapping[str, Any], *, at: str) -> RunReport:
    """The report of a run from its steps' results (`read_report`), by the names in `STEPS`.

    Raises InvalidDataError when a result does not have the form that its step writes.
    """
    found = {step: results.get(step) or {} for step in STEPS}
    train, promote, ask, verify, run = (found[step] for step in STEPS)
    content = {
        "at": at,
        "missing": {step: command for step, command in STEPS.items() if not found[step]},
        **{name: train[name] for name in _FROM_TRAIN if train.get(name) is not None},
        **{name: train.get("metrics", {}).get(name) for name in ("roc_auc", "log_loss")},
        "model": _model(train.get("model") or {}, promote),
        "parity": promote.get("parity"),
        "verify": verify or None,
        "answers": ask.get("answers") or (),
        "is_hindsight": ask.get("is_hindsight", False),
        "latency_ms": ask.get("latency_ms") or {},
        "seconds": run.get("seconds") or {},
        "peak_memory_gb": run.get("peak_memory_gb") or {},
    }
    try:
        return msgspec.convert(content, RunReport)
    except msgspec.ValidationError as problem:
        raise InvalidDataError(
            f"A step left a result that this report cannot read: {problem}. Run `larder run` again, which renews all."
        ) from problem


_FROM_TRAIN = (
    "use_case", "question", "task", "metrics", "references", "gates", "test_window", "rows", "kpi", "curves", "slices",
    "data",
)  # fmt: skip


def _model(trained: Mapping[str, Any], promoted: Mapping[str, Any]) -> dict[str, str]:
    model = dict(trained)
    if promoted:
        model |= {"champion": promoted.get("version", ""), "runtime": promoted.get("runtime", "")}
    return {name: str(value) for name, value in model.items() if value is not None}
