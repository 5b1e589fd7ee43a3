"""Labels: which share of the answers that are old enough have got their outcome."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.monitoring import Finding, Monitoring
from larder.predictions import LIVE, OUTCOME, OUTCOME_KNOWN_AT, Judged
from monitoring.monitors.shares import highest_share
from monitoring.monitors.window import Window, verdict_of


def labels(window: Window, matured: Judged, pending: int, subject: str, limits: Monitoring) -> list[Finding]:
    """`matured`: answers in the window, which ends when labels should have come; `pending` counts the younger ones.

    Covered is an answer with an outcome, and one of which it is known that there will be none: it needs no wait.
    """
    rows = matured.rows.filter(pc.equal(matured.rows["traffic"], LIVE))
    if not rows.num_rows:
        evidence = f"No answer is old enough to have an outcome; {pending:,} wait for theirs."
        return [window.unknown("labels", subject, "coverage", evidence)]
    outcomes, settled = _known(rows[OUTCOME]), _known(rows[OUTCOME_KNOWN_AT])
    age = _words(window.run_at - window.end)
    evidence = (
        f"{settled:,} of {rows.num_rows:,} answers older than {age} are settled, {outcomes:,} with an outcome; "
        f"{matured.ambiguous:,} fit several labels, {pending:,} younger ones wait."
    )
    is_alarm = highest_share(settled, rows.num_rows, error=limits.false_alarms) < limits.label_coverage
    return [
        window.judged(
            "labels",
            subject,
            "coverage",
            settled / rows.num_rows,
            limits.label_coverage,
            verdict_of(is_alarm),
            evidence,
        ),
        window.reported("labels", subject, "outcomes", outcomes, f"{outcomes:,} answers have an outcome."),
    ]


def _words(age: timedelta) -> str:
    """`2 days`, `12 hours`."""
    hours = age / timedelta(hours=1)
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"


def _known(column: pa.ChunkedArray) -> int:
    return int(len(column) - column.null_count)
