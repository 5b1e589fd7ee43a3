"""How a use case declares its training: the question, what an error costs, and what a model must reach.

`training/<use case>.py` declares exactly one `Objective`. Importing this module loads no scikit-learn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from larder.contracts.errors import ConfigurationError

METRICS = ("roc_auc", "average_precision", "log_loss", "brier", "calibration_error", "kpi")
"""What is computed for every model, over the test rows."""

CONSTANT, CHAMPION = "constant", "champion"
"""References that exist without being declared: the training share of positives, and the model that serves."""

PipelineFactory = Callable[[Sequence[str], Sequence[str]], Any]
"""(number columns, string columns) -> unfitted scikit-learn Pipeline, made of library classes only.

Its input has the numbers first and the strings after them; address columns by position, for that is all
that an ONNX graph knows. Numbers are float32 with NaN for null, strings have "" for null.
"""


@dataclass(frozen=True)
class Label:
    """Where the outcome lies. One row per entity and prediction instant (`event_timestamp`)."""

    table: str
    """Name below `labels/` in the lake."""
    column: str
    """Boolean or 0/1; null where the outcome never became known."""
    positive: str
    """What true means, in words."""
    matures_after: timedelta = timedelta(days=2)
    """Age from which a prediction should have its label. Where models are compared or watched, younger predictions
    are left out, also those whose label is known: what is known early is not like the rest."""


@dataclass(frozen=True)
class Kpi:
    """What decisions cost when the model's probability is turned into an act at `threshold`."""

    name: str
    unit: str
    """Unit of the KPI's value, which is the mean cost per decision: lower is better."""
    false_alarm: float
    """Cost of acting where the label turns out false, in `unit`."""
    miss: float
    """Cost of not acting where the label turns out true, in `unit`."""
    description: str

    def __post_init__(self) -> None:
        if self.false_alarm <= 0 or self.miss <= 0:
            raise ConfigurationError(
                f"KPI {self.name!r} has costs {self.false_alarm} (false alarm) and {self.miss} (miss); "
                "both must be positive, or there is nothing to decide."
            )

    @property
    def threshold(self) -> float:
        """Probability from which acting costs less than not acting."""
        return self.false_alarm / (self.false_alarm + self.miss)


@dataclass(frozen=True)
class Slice:
    """Rows that share a value of a label table's column; each value is evaluated on its own."""

    name: str
    column: str
    value: Callable[[Any], str] = str
    """From a value of the column (timestamps as datetime, UTC) to the slice's value."""
    minimum_rows: int = 500
    """Values with fewer test rows are not reported: their metrics are noise."""


@dataclass(frozen=True)
class Gate:
    """One condition of promotion: `metric` `direction` limit.

    With `relative_to`, `limit` is added to that reference's metric; with `slice`, the worst value of the slice counts.
    """

    metric: str
    direction: Literal[">=", "<="]
    limit: float
    relative_to: str = ""
    """Empty for an absolute limit, else `constant`, `champion` or a declared reference."""
    slice: str = ""

    @property
    def name(self) -> str:
        of = f" of the worst {self.slice}" if self.slice else ""
        return f"{self.metric}{of}" + (f" against {self.relative_to}" if self.relative_to else "")


@dataclass(frozen=True, kw_only=True)
class Objective:
    question: str
    label: Label
    kpi: Kpi
    split_at: datetime
    """Training uses labels known before this instant (time zone required); testing, predictions from it on."""
    test_until: datetime
    """End of the test window, exclusive (time zone required)."""
    pipeline: PipelineFactory
    gates: tuple[Gate, ...]
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name -> features of a plainer model, fitted by the same pipeline, that the challenger is compared with."""
    slices: tuple[Slice, ...] = ()
    metrics: tuple[str, ...] = METRICS
    """Metrics to show, the most important first."""
    bounds: tuple[float, float] = (0.001, 0.999)
    """Quantiles of the training values between which a numeric input counts as ordinary."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split_at.tzinfo is None or self.test_until.tzinfo is None:
            raise ConfigurationError("split_at and test_until need a time zone, for example tzinfo=UTC.")
        if self.split_at >= self.test_until:
            raise ConfigurationError(f"test_until {self.test_until} does not lie after split_at {self.split_at}.")
        if not 0 <= self.bounds[0] < self.bounds[1] <= 1:
            raise ConfigurationError(f"bounds are {self.bounds}; they must be two rising quantiles from 0 to 1.")
        _require(self.metrics, METRICS, "metric")
        _require([gate.metric for gate in self.gates], METRICS, "metric of a gate")
        references = ("", CONSTANT, CHAMPION, *self.references)
        _require([gate.relative_to for gate in self.gates], references, "reference of a gate")
        _require([gate.slice for gate in self.gates], ["", *(part.name for part in self.slices)], "slice of a gate")


def _require(names: Sequence[str], possible: Sequence[str], what: str) -> None:
    unknown = sorted(set(names) - set(possible))
    if unknown:
        raise ConfigurationError(f"Unknown {what}: {unknown}; possible are {[name for name in possible if name]}.")
