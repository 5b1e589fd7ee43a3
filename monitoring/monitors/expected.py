"""Quality to expect before labels come: a calibrated probability p is right about p of the time.

Each answer counts as p true and 1 - p false outcomes. Where the model is calibrated the expectation is met; where
outcomes turn out worse than expected, the world has changed in a way that the inputs did not show.
"""

import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.monitoring import Finding
from larder.contracts.objective import TITLES
from larder.evaluation import Floats, Task
from larder.predictions import LIVE, OUTCOME
from monitoring.monitors.expectation import expectation
from monitoring.monitors.quality import matured
from monitoring.monitors.window import Window


def expected_quality(window: Window, predicted: Floats, task: Task) -> list[Finding]:
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
        for metric, value in expectation(task, predicted).items()
    ]


def expected_against_actual(window: Window, rows: pa.Table, task: Task) -> list[Finding]:
    """Expected minus actual quality of those live answers `rows` that have got their outcome, as
    `larder.predictions.judged`.
    """
    known = matured(task, rows.filter(pc.is_valid(rows[OUTCOME])))
    if not known.is_judgeable:
        evidence = f"{len(known.outcome):,} answers of the window have an outcome, and not both are among them."
        return [window.unknown("expected_quality", LIVE, "outcomes", evidence)]
    expected, actual = expectation(task, known.predicted), task.metrics(known.outcome, known.predicted)
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
