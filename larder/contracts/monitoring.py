"""What monitors find, how a use case sets their limits, and the baseline that a model brings along.

A finding is one row of the Delta table `monitoring/<use case>`: training's policy and people read it there.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.values import require_length, require_number

MONITORS = (
    "freshness", "volume", "nulls", "absent", "out_of_range", "categories", "drift", "skew", "labels", "quality",
    "expected_quality", "service",
)  # fmt: skip
ALARMING = {
    "freshness": ("lag_hours", "age_hours"),
    "volume": ("change",),
    "nulls": ("null_share",),
    "absent": ("absent_share",),
    "out_of_range": ("out_of_range_share",),
    "categories": ("unseen_share",),
    "drift": ("psi", "jensen_shannon", "wasserstein"),
    "skew": ("differing_share",),
    "labels": ("coverage",),
    "expected_quality": (),
    "service": ("error_share", "latency_p99_ms", "dropped_rows", "champion_refused"),
}
"""Monitor -> metrics that it judges; those of quality follow from the question. What is only reported never alarms."""
PREDICTION = "prediction"
"""Subject of the findings about what the model answers, beside those about its inputs."""


class Verdict(StrEnum):
    OK = "ok"
    ALARM = "alarm"
    UNKNOWN = "cannot tell"
    """Too little to judge by; the evidence says what is missing. Never counts as ok."""


@dataclass(frozen=True)
class Finding:
    """What one monitor found about one subject in one window. All instants are UTC."""

    run_at: datetime
    """The clock's instant of the run."""
    window_start: datetime
    window_end: datetime
    """The window is (start, end]."""
    monitor: str
    """One of MONITORS."""
    subject: str
    """Feature, view, table, slice (`name=value`) or model version that the finding is about."""
    metric: str
    value: float | None
    limit: float | None
    """None for what is reported and not judged."""
    verdict: Verdict
    evidence: str
    """One plain sentence: what was seen, among how many, against what."""


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """Limits of the monitors; the training file may declare one, else these defaults hold."""

    window: timedelta = timedelta(days=1)
    """Predictions looked at by the monitors of data and drift."""
    quality_window: timedelta = timedelta(days=7)
    """Matured predictions looked at by the monitors of quality."""
    minimum_rows: int = 300
    """With fewer predictions in a window drift is not judged, with fewer matured ones quality is not."""
    psi: float = 0.25
    """Population stability index, beyond what sampling noise explains."""
    jensen_shannon: float = 0.15
    """Distance, base 2, from 0 to 1, beyond noise."""
    wasserstein: float = 0.35
    """In standard deviations of the training values, beyond noise."""
    effect: float = 0.02
    """How far the drift of one input must move the answers to be an alarm, in probability, beyond what windows of
    training moved them; drift of what the model hardly looks at is reported and wakes nobody."""
    effect_share: float = 0.2
    """The same as a share of the rarer outcome's usual probability; the smaller of the two counts."""
    number_effect: float = 0.1
    """The same where numbers are predicted, in standard deviations of the model's answers when it was judged."""
    false_alarms: float = 0.01
    """Share of quiet windows in which any of all features may alarm by chance (Benjamini-Hochberg)."""
    lag: timedelta = timedelta(hours=1)
    """How far the online store may be behind the clock."""
    silence: float = 3.0
    """How old the newest event of a view may be, beyond `lag`: so many times what it was in nine of ten runs."""
    null_increase: float = 0.2
    """Rise of a feature's share of nulls over training."""
    absent_share: float = 0.2
    """Share of answers for which a feature may be missing or stale, beyond training's share of nulls."""
    out_of_range_share: float = 0.05
    """Share of a feature's values that may lie far outside what training saw."""
    range_margin: float = 0.5
    """How far beyond training's extremes a value is far outside, as a share of the distance between the two."""
    unseen_share: float = 0.02
    """Share of a string feature's values that training never saw."""
    volume_change: float = 0.5
    """Largest fall or rise of predictions against the same weekdays of the four weeks before, as a share."""
    label_coverage: float = 0.9
    """Least share of the predictions that should have their label (`Label.matures_after`) and do."""
    quality_decay: float = 0.05
    """Relative rise of log loss, Brier score and KPI over what the model reached when it was judged."""
    auc_decay: float = 0.04
    """Fall of ROC-AUC below what the model reached when it was judged."""
    skew_share: float = 0.0
    """Share of logged values of a feature that may differ from their as-of recomputation."""
    confidence: float = 0.99
    """Of the intervals that quality is judged by."""
    error_share: float = 0.01
    """Share of requests answered with 5xx."""
    latency_p99_ms: float = 150.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in ("window", "quality_window", "lag"):
                require_length(f"{name} of monitoring", value, above_zero=name != "lag")
            elif value != math.inf:  # a limit that nothing exceeds
                require_number(f"{name} of monitoring", value, least=0)
        if not 0 < self.confidence < 1 or not 0 < self.false_alarms < 1:
            raise ConfigurationError(
                f"confidence is {self.confidence} and false_alarms {self.false_alarms}; both lie between 0 and 1."
            )


class NumberBaseline(msgspec.Struct, frozen=True):
    """How a numeric input was distributed in training."""

    edges: list[float]
    """Inner bin edges, rising: n edges make n + 1 bins, a value on an edge belongs to the bin above. May be empty."""
    counts: list[int]
    """Rows per bin; nulls are in none."""
    nulls: int
    quantiles: list[float]
    """Values at even steps of rank from 0 to 1, for distances and tests between samples; empty where all is null."""
    mean: float | None
    deviation: float | None
    """Standard deviation; None where all is null."""


class StringBaseline(msgspec.Struct, frozen=True):
    counts: dict[str, int]
    """Rows per value; the rarest beyond the first thousand are together under `other`."""
    nulls: int
    other: int = 0


class Baseline(msgspec.Struct, frozen=True):
    """What was usual when the model was trained; part of its serving bundle."""

    rows: int
    """Training rows that the features are counted over."""
    numbers: dict[str, NumberBaseline]
    strings: dict[str, StringBaseline]
    prediction: NumberBaseline
    """Predictions for the rows that the model was judged on, which it had not learned from."""
    judged_rows: int
    metrics: dict[str, float]
    """Quality on the judged rows, as `larder.contracts.objective.METRICS`."""
    constant: dict[str, float] = {}
    """Each loss as the best constant answer would have had it there; empty in bundles from before it was kept."""
    dependence: dict[str, list[float]] = {}
    """Partial dependence (Friedman 2001): input -> the mean prediction over a sample of training rows when all of them
    have the same value of the input, one for each bin of a number and then for null; of a string for each of its
    `counts`, then for all others, then for null."""
    usual: dict[str, dict[str, float]] = {}
    """How far single windows (days, say) of training strayed: input or `prediction` -> metric of a monitor -> the value
    that 99 of 100 windows did not exceed. A day has one weekday and one mood, so it never looks like a year."""


def encoded_baseline(baseline: Baseline) -> bytes:
    return msgspec.json.encode(baseline)


def decoded_baseline(text: bytes, *, where: str) -> Baseline:
    try:
        return msgspec.json.decode(text, type=Baseline)
    except msgspec.DecodeError as problem:
        raise InvalidDataError(f"The baseline of {where} is damaged: {problem}. Train and promote again.") from problem
