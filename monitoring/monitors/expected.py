"""Quality to expect before labels come: a calibrated probability p is right about p of the time.

Each answer counts as p true and 1 - p false outcomes. Where the model is calibrated the expectation is met; where
outcomes turn out worse than expected, the world has changed in a way that the inputs did not show.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import roc_auc_score

from larder.contracts.monitoring import Finding
from larder.contracts.objective import Kpi
from larder.evaluation import Outcomes, Probabilities, metrics
from larder.predictions import LIVE, OUTCOME
from monitoring.monitors.quality import matured
from monitoring.monitors.resampling import SMALLEST
from monitoring.monitors.window import Window

TITLES = {"log_loss": "Log loss", "roc_auc": "ROC-AUC", "kpi": "KPI"}


def expected_quality(window: Window, predicted: Probabilities, kpi: Kpi) -> list[Finding]:
    """Of the live answers in the window, whatever comes of them."""
    if not len(predicted):
        return [window.unknown("expected_quality", LIVE, "rows", "No answers in the window.")]
    return [
        window.reported(
            "expected_quality",
            LIVE,
            metric,
            value,
            f"{TITLES[metric]} {value:.4f} to expect of {len(predicted):,} answers if their probabilities are right.",
        )
        for metric, value in expectation(predicted, kpi).items()
    ]


def expected_against_actual(window: Window, rows: pa.Table, kpi: Kpi) -> list[Finding]:
    """Expected minus actual quality of the live answers that have got their outcome, as `larder.predictions.judged`."""
    known = matured(rows.filter(pc.and_(pc.is_valid(rows[OUTCOME]), pc.equal(rows["traffic"], LIVE))))
    if not known.has_both_outcomes:
        evidence = f"{len(known.outcome):,} answers of the window have an outcome, and not both are among them."
        return [window.unknown("expected_quality", LIVE, "outcomes", evidence)]
    expected, actual = expectation(known.predicted, kpi), metrics(known.outcome, known.predicted, kpi)
    return [
        window.reported(
            "expected_quality",
            LIVE,
            f"{metric}_gap",
            value - actual[metric],
            f"{TITLES[metric]} was to be {value:.4f} and came to {actual[metric]:.4f}, {len(known.outcome):,} answers.",
        )
        for metric, value in expected.items()
    ]


def expectation(predicted: Probabilities, kpi: Kpi) -> dict[str, float]:
    """Metrics to expect; ROC-AUC is absent where all probabilities are 0, or all are 1."""
    clipped = np.clip(predicted, SMALLEST, 1 - SMALLEST)
    entropy = -(clipped * np.log(clipped) + (1 - clipped) * np.log(1 - clipped))
    cost = np.where(predicted >= kpi.threshold, (1 - predicted) * kpi.false_alarm, predicted * kpi.miss)
    found = {"log_loss": float(entropy.mean()), "kpi": float(cost.mean())}
    if 0 < predicted.sum() < len(predicted):
        found["roc_auc"] = _roc_auc(predicted)
    return found


def _roc_auc(predicted: Probabilities) -> float:
    outcome: Outcomes = np.repeat(np.array([1, 0], dtype=np.int8), len(predicted))
    weights = np.concatenate([predicted, 1 - predicted])
    return float(roc_auc_score(outcome, np.tile(predicted, 2), sample_weight=weights))
