"""When a use case retrains, on what, and how a challenger is released; declared in `training/<use case>.py`."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from larder.contracts.errors import ConfigurationError
from larder.contracts.objective import Gate

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
            if value is not None and value <= timedelta(0):
                raise ConfigurationError(f"{name} of the training window is {value}; it must be positive, or None.")


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
        if not 1 <= self.k <= self.n:
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
    """How long an alarm refuses. What still alarms after that is no breakage that somebody will mend, but how the data
    are now: to refuse for ever would keep the model that alarms for ever."""
    release: Release = field(default_factory=Release)

    def __post_init__(self) -> None:
        if self.growth is not None and self.growth <= 0:
            raise ConfigurationError(f"growth is {self.growth}; it must be positive, or None.")
        if self.most_per_week < 1:
            raise ConfigurationError(f"most_per_week is {self.most_per_week}; at least one training must be possible.")
        if self.judged_on <= timedelta(0):
            raise ConfigurationError(f"judged_on is {self.judged_on}; a model needs labels to be judged on.")
