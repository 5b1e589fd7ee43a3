"""When a use case retrains, on what, and how a challenger is released; declared in `training/<use case>.py`."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from larder.contracts.errors import ConfigurationError
from larder.contracts.monitoring import ALARMING, MONITORS
from larder.contracts.objective import METRICS, Gate, Objective
from larder.contracts.values import (
    require_count,
    require_kind,
    require_length,
    require_number,
    require_one_of,
    require_several,
)

POLICIES = ("never", "monthly", "weekly", "automatic")
"""What a replay compares; `automatic` is the declared policy."""


@dataclass(frozen=True)
class TrainingWindow:
    """Which labels a retraining learns from, and how much each one weighs."""

    last: timedelta | None = None
    """Only predictions of this long before the split; None takes all."""
    half_life: timedelta | None = None
    """A prediction this much older than the newest weighs half; None weighs all alike."""

    def __post_init__(self) -> None:
        for name in ("last", "half_life"):
            value = getattr(self, name)
            if value is not None:
                require_length(f"{name} of the training window", value, above_zero=True)


@dataclass(frozen=True)
class Trigger:
    """A monitor that asks for a new model: alarms in `k` of its last `n` windows and in the latest."""

    monitor: str
    metric: str
    k: int = 3
    n: int = 5
    subject: str = ""
    """Empty: any subject; the windows of each are counted apart."""

    def __post_init__(self) -> None:
        monitors = [monitor for monitor in MONITORS if ALARMING.get(monitor) != ()]
        require_one_of("monitor of a trigger", self.monitor, monitors)
        if self.monitor in ALARMING:
            require_one_of(f"metric of a trigger on {self.monitor}", self.metric, ALARMING[self.monitor])
        for name in ("k", "n"):
            require_count(f"{name} of the trigger on {self.monitor}", getattr(self, name), least=1)
        if self.k > self.n:
            raise ConfigurationError(f"A trigger asks for {self.k} of {self.n} windows; it must be 1 <= k <= n.")


@dataclass(frozen=True, kw_only=True)
class Release:
    """From a challenger that passed its gates to one that stays."""

    approvals: int = 0
    """How many persons who did not train it must approve a version before it serves (`larder models approve`)."""
    latency_ms: float = 20.0
    """Median time that the model may take for one row, features not counted, on the machine that releases it."""
    null_increase: float = 0.2
    """By how much the share of nulls of any input may be higher among the judged rows than in windows of training."""
    shadow: timedelta = timedelta(days=2)
    """How long the challenger answers beside the champion, unseen by callers, before it is judged."""
    shadow_rows: int = 1_000
    """Matured answers of both that the judgement needs; shadow lasts until there are as many, at most `patience`."""
    patience: timedelta = timedelta(days=14)
    """Shadow that lasts longer ends in rejection: nobody asks, or no labels come."""
    watch: timedelta = timedelta(days=7)
    """How long after a promotion the former champion answers beside the new one, ready to be rolled back to."""
    tolerance: float | None = None
    """Log loss, or mean absolute error where numbers are predicted, by which the challenger may be worse on average
    than the champion on the same rows, unless that is shown beyond chance, and still be promoted. None: 0.003 of log
    loss, a hundredth of the champion's mean absolute error."""
    confidence: float = 0.95
    """Of the interval of the paired difference in that loss, by which promotion and rollback are decided."""

    def __post_init__(self) -> None:
        require_count("approvals of the release", self.approvals)
        require_number("latency_ms of the release", self.latency_ms, above=0)
        require_number("null_increase of the release", self.null_increase, least=0, most=1)
        for name in ("shadow", "patience", "watch"):
            require_length(f"{name} of the release", getattr(self, name))
        require_count("shadow_rows of the release", self.shadow_rows, least=1)
        if self.tolerance is not None:
            require_number("tolerance of the release", self.tolerance, least=0)
        if self.patience < self.shadow:
            raise ConfigurationError(
                f"patience of the release is {self.patience}, less than shadow, {self.shadow}: nothing could ever be "
                "promoted. Make it longer."
            )
        require_number("confidence of the release", self.confidence)
        if not 0 < self.confidence < 1:
            raise ConfigurationError(f"confidence of the release is {self.confidence}; it lies between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """The policy. A retraining is due for any of the reasons below, unless something refuses it."""

    every: timedelta | Literal["month"] | None = None
    """Schedule: this long after the last training, or on the first of each calendar month, UTC."""
    growth: float | None = 0.5
    """New labels since the last training, as a share of those that it learned from; None: their amount is no reason."""
    triggers: tuple[Trigger, ...] = ()
    expires_after: timedelta | None = None
    """Age of the champion's newest training label beyond which it must be replaced."""
    window: TrainingWindow = TrainingWindow()
    gates: tuple[Gate, ...] | None = None
    """What a retrained model must reach on the judged labels; None: the gates of the objective. Few days are a small
    and maybe a hard sample, so limits that were set for a long test are better set anew, beside references."""
    judged_on: timedelta = timedelta(days=7)
    """The newest labels: not learned from, but judged on, beside the champion."""
    minimum_rows: int = 1_000
    """Labels to learn from without which nothing is trained."""
    cool_down: timedelta = timedelta(days=3)
    """Least time between two trainings; only the first training of all is exempt."""
    most_per_week: int = 2
    refused_by: tuple[str, ...] = (
        "freshness",
        "volume",
        "nulls",
        "absent",
        "out_of_range",
        "categories",
        "skew",
        "labels",
    )
    """Monitors of data quality: while the latest window of one alarms, or they could not tell, nothing is trained."""
    refusal_lasts: timedelta = timedelta(days=14)
    """How long an alarm refuses, from the first day on, pauses included; after as long without an alarm it may refuse
    anew. What still comes and goes after that is no breakage that somebody will mend, but how the data are now: to
    refuse for ever would keep the model that alarms for ever."""
    release: Release = field(default_factory=Release)

    def __post_init__(self) -> None:
        if self.growth is not None:
            require_number("growth", self.growth, above=0)
        if self.every is not None and self.every != "month":
            require_length("every (`month` or a timedelta)", self.every, above_zero=True)
        if self.expires_after is not None:
            require_length("expires_after", self.expires_after, above_zero=True)
        require_several("triggers", self.triggers, Trigger)
        if self.gates is not None:
            require_several("gates of retraining", self.gates, Gate)
        require_several("refused_by", self.refused_by, str)
        for monitor in self.refused_by:
            require_one_of("A monitor of refused_by", monitor, MONITORS)
        require_count("minimum_rows of retraining", self.minimum_rows, least=1)
        for name in ("cool_down", "refusal_lasts"):
            require_length(name, getattr(self, name))
        require_count("most_per_week", self.most_per_week, least=1)
        require_kind("window of retraining", self.window, TrainingWindow)
        require_kind("release of retraining", self.release, Release)
        require_length("judged_on (a model needs labels to be judged on)", self.judged_on, above_zero=True)


REPORTED = ("calibration_error", "r2", "rmse", "bias")
"""Metrics of quality that are reported and never judged: no alarm will ever name them."""


def require_fitting(policy: Retraining, objective: Objective) -> None:
    """Raise ConfigurationError for a policy of another question: gates that it lacks, triggers that never fire."""
    if policy.gates is not None:
        try:
            replace(objective, gates=policy.gates)
        except ConfigurationError as problem:
            raise ConfigurationError(f"`gates` of Retraining do not fit the objective. {problem}") from problem
    judged = [metric for metric in METRICS[objective.task] if metric not in REPORTED]
    for trigger in policy.triggers:
        if trigger.monitor == "quality":
            require_one_of(f"metric of a trigger on quality of {objective.task}", trigger.metric, judged)


def require_outcomes_in_time(release: Release, objective: Objective) -> None:
    """Raise ConfigurationError for a release that ends before any of its answers can have an outcome."""
    wait = objective.label.matures_after
    for name, length, so in (
        ("patience", release.patience, "every challenger would be rejected undecided"),
        ("watch", release.watch, "every version would be confirmed unseen, however bad"),
    ):
        if wait >= length > timedelta(0):
            raise ConfigurationError(
                f"{name} of the release is {length}, and an answer has its outcome after {wait} (matures_after of the "
                f"label): {so}. Declare a longer one in the training file, retraining = "
                f"Retraining(release=Release({name}=...)), by as much as days of answers should be judged."
            )
