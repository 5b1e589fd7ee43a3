"""How a use case declares its training: the question, what an error costs, and what a model must reach.

`training/<use case>.py` declares exactly one `Objective`. Importing this module loads no scikit-learn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from inspect import signature
from typing import Any, Literal

from larder.contracts.errors import ConfigurationError
from larder.contracts.values import (
    require_count,
    require_instant,
    require_kind,
    require_length,
    require_number,
    require_one_of,
    require_several,
)

CLASSIFICATION, REGRESSION = "classification", "regression"
"""What a model answers: the probability of a yes, or a number."""

PREDICTED = {CLASSIFICATION: "probability", REGRESSION: "prediction"}
"""Column of the prediction log with what the model answered."""

METRICS = {
    CLASSIFICATION: ("roc_auc", "average_precision", "log_loss", "brier", "calibration_error", "kpi"),
    REGRESSION: ("r2", "mae", "rmse", "bias", "kpi"),
}
"""What is computed for every model, over the test rows."""

FAIRNESS = {
    CLASSIFICATION: ("demographic_parity_ratio", "equalized_odds_difference"),
    REGRESSION: ("mae_difference", "bias_difference"),
}
"""What is computed for every protected slice: how far its values are treated alike."""

TITLES = {
    "roc_auc": "ROC-AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "r2": "R²",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "bias": "Bias",
    "demographic_parity_ratio": "Demographic parity, ratio",
    "equalized_odds_difference": "Equalized odds, difference",
    "mae_difference": "Mean absolute error, difference",
    "bias_difference": "Bias, difference",
    "kpi": "KPI",
}
"""Metric -> what people call it."""

CONSTANT, CHAMPION = "constant", "champion"
"""References that exist without being declared: the mean of the training labels, and the model that serves."""

PipelineFactory = Callable[[Sequence[str], Sequence[str]], Any]
"""(number columns, string columns) -> unfitted scikit-learn Pipeline, made of library classes only.

Its input has the numbers first and the strings after them; address columns by position, for that is all
that an ONNX graph knows. Numbers are float32 with NaN for null, strings have "" for null.
"""


@dataclass(frozen=True)
class Label:
    """Where the answer to a yes-or-no question lies. One row per entity and prediction instant (`event_timestamp`)."""

    table: str
    """Name below `labels/` in the lake."""
    column: str
    """Boolean or 0/1; null where the outcome never became known."""
    positive: str
    """What true means, in words."""
    matures_after: timedelta = timedelta(days=2)
    """Age from which a prediction should have its label. Where models learn, are compared or watched, younger
    predictions are left out, also those whose label is known: what is known early is not like the rest."""

    def __post_init__(self) -> None:
        require_length(f"matures_after of label {self.column!r}", self.matures_after)


@dataclass(frozen=True)
class NumberLabel:
    """Where the number that is asked for lies. One row per entity and prediction instant (`event_timestamp`)."""

    table: str
    """Name below `labels/` in the lake."""
    column: str
    """Any number, finite; null where the outcome never became known."""
    unit: str
    """Unit of the number, in words."""
    matures_after: timedelta = timedelta(days=2)
    """As that of `Label`."""

    def __post_init__(self) -> None:
        require_length(f"matures_after of label {self.column!r}", self.matures_after)


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
        for name in ("false_alarm", "miss"):
            require_number(f"{name} of KPI {self.name!r}", getattr(self, name))
        if self.false_alarm <= 0 or self.miss <= 0:
            raise ConfigurationError(
                f"KPI {self.name!r} has costs {self.false_alarm} (false alarm) and {self.miss} (miss); "
                "both must be positive, or there is nothing to decide."
            )

    @property
    def threshold(self) -> float:
        """Probability from which acting costs less than not acting."""
        return self.false_alarm / (self.false_alarm + self.miss)

    @property
    def costs(self) -> dict[str, float]:
        return {"false_alarm": self.false_alarm, "miss": self.miss}


@dataclass(frozen=True)
class ErrorKpi:
    """What it costs that a predicted number is wrong, in proportion to how wrong it is."""

    name: str
    unit: str
    """Unit of the KPI's value, which is the mean cost per prediction: lower is better."""
    too_low: float
    """Cost, in `unit`, of each unit of the label by which the prediction lies below the outcome."""
    too_high: float
    """The same where it lies above."""
    description: str

    def __post_init__(self) -> None:
        for name in ("too_low", "too_high"):
            require_number(f"{name} of KPI {self.name!r}", getattr(self, name))
        if self.too_low <= 0 or self.too_high <= 0:
            raise ConfigurationError(
                f"KPI {self.name!r} has costs {self.too_low} (too low) and {self.too_high} (too high); both must be "
                "positive, or the best prediction would be without bound."
            )

    @property
    def quantile(self) -> float:
        """The quantile of the outcomes that costs least as a prediction for all of them (the newsvendor's)."""
        return self.too_low / (self.too_low + self.too_high)

    @property
    def costs(self) -> dict[str, float]:
        return {"too_low": self.too_low, "too_high": self.too_high}


@dataclass(frozen=True)
class Slice:
    """Rows that share a value of a label table's column; each value is evaluated on its own."""

    name: str
    column: str
    value: Callable[[Any], str] = str
    """From a value of the column (timestamps as datetime, UTC) to the slice's value."""
    minimum_rows: int = 500
    """Values with fewer test rows are not reported: their metrics are noise."""
    is_protected: bool = False
    """Whether people must be treated alike whatever their value is; fairness is then computed between the values."""

    def __post_init__(self) -> None:
        require_number(f"minimum_rows of slice {self.name!r}", self.minimum_rows, least=1)


@dataclass(frozen=True)
class Gate:
    """One condition of promotion: `metric` `direction` limit.

    With `relative_to`, `limit` is added to that reference's metric; with `slice`, the worst value of the slice counts,
    and with both each value of the slice is compared with the reference's metric on the same rows.
    A metric of FAIRNESS needs the name of a protected slice, and compares its values with one another.
    """

    metric: str
    direction: Literal[">=", "<="]
    limit: float
    relative_to: str = ""
    """Empty for an absolute limit, else `constant`, `champion` or a declared reference."""
    slice: str = ""

    def __post_init__(self) -> None:
        require_one_of(f"direction of the gate on {self.metric}", self.direction, (">=", "<="))
        require_number(f"limit of the gate on {self.metric}", self.limit)

    @property
    def name(self) -> str:
        is_between = any(self.metric in compared for compared in FAIRNESS.values())
        of = f" {'by' if is_between else 'of the worst'} {self.slice}" if self.slice else ""
        return f"{self.metric}{of}" + (f" against {self.relative_to}" if self.relative_to else "")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model card says that no figure can tell; in whole sentences."""

    intended_use: str
    """What the predictions are for, and who uses them."""
    out_of_scope: str = ""
    """What they must not be used for."""
    considerations: str = ""
    """Risks, harms and whom they meet; what is done about them."""
    owner: str = ""
    """Who answers for the model, and how to reach them."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A yes-or-no question has a `Label` and a `Kpi`, the question for a number a `NumberLabel` and an `ErrorKpi`."""

    question: str
    label: Label | NumberLabel
    kpi: Kpi | ErrorKpi
    split_at: datetime
    """Training uses labels that were known and mature before this instant (time zone required); testing, predictions
    from it on."""
    test_until: datetime
    """End of the test window, exclusive (time zone required)."""
    pipeline: PipelineFactory
    gates: tuple[Gate, ...]
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name -> features of a plainer model, fitted by the same pipeline, that the challenger is compared with."""
    slices: tuple[Slice, ...] = ()
    metrics: tuple[str, ...] = ()
    """Metrics to show, the most important first; empty for all that the task has."""
    bounds: tuple[float, float] = (0.001, 0.999)
    """Quantiles of the training values between which a numeric input counts as ordinary."""
    seed: int = 0
    card: Card | None = None

    def __post_init__(self) -> None:
        require_kind("question", self.question, str)
        require_kind("label", self.label, Label, NumberLabel)
        require_kind("kpi", self.kpi, Kpi, ErrorKpi)
        require_kind("card", self.card, Card, type(None))
        require_count("seed", self.seed)
        require_instant("split_at", self.split_at)
        require_instant("test_until", self.test_until)
        if self.split_at >= self.test_until:
            raise ConfigurationError(f"test_until {self.test_until} does not lie after split_at {self.split_at}.")
        if not isinstance(self.bounds, tuple) or len(self.bounds) != 2 or not 0 <= self.bounds[0] < self.bounds[1] <= 1:
            raise ConfigurationError(f"bounds are {self.bounds}; they must be two rising quantiles from 0 to 1.")
        if isinstance(self.label, NumberLabel) != isinstance(self.kpi, ErrorKpi):
            raise ConfigurationError(
                f"The objective has a {type(self.label).__name__} and a {type(self.kpi).__name__}. A yes-or-no "
                "question has a Label and a Kpi, the question for a number a NumberLabel and an ErrorKpi."
            )
        if not _takes_columns(self.pipeline):
            raise ConfigurationError(
                f"pipeline is {self.pipeline!r}; it must be a function of (number columns, string columns) that makes "
                "an unfitted scikit-learn Pipeline."
            )
        require_several("gates", self.gates, Gate)
        require_several("slices", self.slices, Slice)
        require_several("metrics", self.metrics, str)
        _require_references(self.references)
        names = [part.name for part in self.slices]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(f"Several slices have the name {twice[0]!r}; give each a name of its own.")
        possible = METRICS[self.task]
        _require(self.metrics, possible, f"metric of {self.task}")
        fairness = FAIRNESS[self.task]
        _require([gate.metric for gate in self.gates], (*possible, *fairness), f"metric of a gate of {self.task}")
        protected = [part.name for part in self.slices if part.is_protected]
        for gate in self.gates:
            if gate.metric in fairness and (gate.slice not in protected or gate.relative_to):
                raise ConfigurationError(
                    f"A gate on {gate.metric} compares the values of one protected slice: give it `slice`, one of "
                    f"{protected} (slices with is_protected=True), and no `relative_to`."
                )
        references = ("", CONSTANT, CHAMPION, *self.references)
        _require([gate.relative_to for gate in self.gates], references, "reference of a gate")
        _require([gate.slice for gate in self.gates], ["", *(part.name for part in self.slices)], "slice of a gate")

    @property
    def task(self) -> str:
        """`classification` or `regression`."""
        return REGRESSION if isinstance(self.label, NumberLabel) else CLASSIFICATION

    def with_costs(self, costs: Mapping[str, float]) -> "Objective":
        """As declared but for the costs of its KPI: those by which a version was judged, unless they are unknown or of
        another question.
        """
        is_fitting = costs.keys() == self.kpi.costs.keys()
        return replace(self, kpi=replace(self.kpi, **costs)) if is_fitting else self  # type: ignore[arg-type]

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        return self.metrics or METRICS[self.task]


def _takes_columns(factory: object) -> bool:
    """Whether it can be called with number columns and string columns."""
    if not callable(factory):
        return False
    try:
        signature(factory).bind((), ())
    except TypeError:
        return False
    except ValueError:  # some callables written in C do not say
        return True
    return True


def _require_references(references: Mapping[str, tuple[str, ...]]) -> None:
    require_kind("references", references, Mapping)
    for name, features in references.items():
        require_several(f"The features of reference {name!r}", features, str)
        if not features:
            raise ConfigurationError(f"Reference {name!r} has no features; name some, or leave it out.")
        if name in (CONSTANT, CHAMPION):
            raise ConfigurationError(f"Reference {name!r} is there without being declared; give yours another name.")


def _require(names: Sequence[str], possible: Sequence[str], what: str) -> None:
    unknown = sorted(set(names) - set(possible))
    if unknown:
        raise ConfigurationError(f"Unknown {what}: {unknown}; possible are {[name for name in possible if name]}.")
