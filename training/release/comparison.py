"""Two versions that answered the same requests, compared on the outcomes known by now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from larder.contracts.errors import MissingTableError
from larder.contracts.objective import Objective
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.evaluation import Floats, Outcomes, Task, slice_scores, task_of
from larder.predictions import OUTCOME, judged, read_predictions

NEWER, OLDER = "newer", "older"
"""Columns of `paired_answers`: what either version answered."""

FEW_DAYS = 5
"""In fewer days nothing is shown to be worse: a day's outcomes go together, and so few days tell little of the next."""


@dataclass(frozen=True)
class Interval:
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The loss of the newer version minus that of the older, over rows that both answered: below 0 it is better."""

    loss: str
    """Which: `log_loss`, or `mae` where numbers are predicted."""
    answered: int
    """Rows that both answered."""
    rows: int
    """Those whose outcome is known."""
    days: int
    difference: Interval | None
    """None where `unjudged` says why not."""
    unjudged: str
    newer: dict[str, float]
    """Metrics, as `larder.contracts.objective.METRICS`; empty where nothing was judged."""
    older: dict[str, float]
    slices: dict[str, dict[str, Any]]
    """`name=value` -> rows, and the loss of `newer` and `older` there; slices with enough rows only."""


def paired_answers(
    settings: Settings, objective: Objective, *, model: str, newer: str, older: str, since: datetime, now: datetime
) -> pa.Table:
    """Rows that versions `newer` and `older` both answered since, one to the caller, the other unseen.

    Only rows that are old enough to have their label: what is known early is not like the rest.

    One row each, in order of time: `at`, the predictions `newer` and `older`, `outcome` (null while unknown) and
    `label_<column>` for every slice.
    """
    lake = Lake(settings.lake)
    matured = now - objective.label.matures_after
    predicted = task_of(objective).predicted
    columns = ["version", "request", predicted]
    log = read_predictions(lake.predictions(model), since=since, until=matured, columns=columns)
    answers = pl.DataFrame(log.drop_columns(["request"])).with_row_index("position").drop_nulls(predicted)
    key = ["answer_id", "row"]
    # A write that was acknowledged too late may lie in the log twice.
    new, old = (
        answers.filter(pl.col("version") == version).unique(key, keep="first", maintain_order=True)
        for version in (newer, older)
    )
    pairs = new.join(old, on=key, how="inner", suffix="_older", maintain_order="left")
    rows = log.take(pairs["position"].to_arrow().cast(pa.int64()))
    rows = rows.append_column(NEWER, pairs[predicted].to_arrow())
    rows = rows.append_column(OLDER, pairs[f"{predicted}_older"].to_arrow())
    others = [part.column for part in objective.slices]
    place = lake.labels(objective.label.table)
    try:
        return judged(rows, place, objective.label.column, now=now, others=others).rows
    except MissingTableError:  # no label was ever stored, so none is known
        return rows.append_column(OUTCOME, pa.nulls(rows.num_rows, pa.float64()))


def comparison(pairs: pa.Table, objective: Objective, *, minimum_rows: int, confidence: float) -> Comparison:
    """Judge `paired_answers`, if `minimum_rows` of them have an outcome."""
    task = task_of(objective)
    known = pairs.filter(pc.is_valid(pairs[OUTCOME]))
    outcome = task.outcomes(known, OUTCOME)
    days = known["at"].to_numpy().astype("datetime64[D]").astype(np.int64)
    counts = (pairs.num_rows, known.num_rows, len(np.unique(days)))
    unjudged = _unjudged(outcome, minimum_rows)
    if unjudged:
        return Comparison(task.loss, *counts, None, unjudged, {}, {}, {})
    new, old = known[NEWER].to_numpy(), known[OLDER].to_numpy()
    gap = task.losses(outcome, new)[task.loss] - task.losses(outcome, old)[task.loss]
    return Comparison(
        task.loss,
        *counts,
        paired_interval(gap, days, confidence),
        "",
        task.metrics(outcome, new),
        task.metrics(outcome, old),
        _slices(objective, task, known, outcome, new, old),
    )


def paired_interval(differences: Floats, days: npt.NDArray[np.int64], confidence: float) -> Interval:
    """Mean and two-sided Student interval; `days` holds each row's day. Without a second day the interval is unbounded.

    The rows of a day count as one observation (cluster-robust variance of a mean: Cameron and Miller, A Practitioner's
    Guide to Cluster-Robust Inference, 2015), for what happens on a day happens to many of them.
    """
    rows, mean = len(differences), float(differences.mean())
    _, cluster = np.unique(days, return_inverse=True)
    if cluster.max() == 0:
        return Interval(mean, -np.inf, np.inf)
    groups = int(cluster.max()) + 1
    sums = np.bincount(cluster, differences - mean)
    error = float(np.sqrt(groups / (groups - 1) * np.sum(sums**2)) / rows)
    reach = float(stats.t.ppf((1 + confidence) / 2, groups - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


def _unjudged(outcome: Outcomes, minimum_rows: int) -> str:
    """Why nothing can be said yet; empty where it can."""
    if len(outcome) < max(minimum_rows, 2):
        return f"only {len(outcome):,} of {max(minimum_rows, 2):,} answers of both have a known outcome"
    if len(np.unique(outcome)) < 2:
        return f"all {len(outcome):,} known outcomes are the same"
    return ""


def _slices(
    objective: Objective, task: Task, known: pa.Table, outcome: Outcomes, new: Floats, old: Floats
) -> dict[str, dict[str, Any]]:
    found = {}
    for part in objective.slices:
        rows = pa.table({part.column: known[f"label_{part.column}"]})
        both = (slice_scores(part, rows, task, outcome, predicted) for predicted in (new, old))
        for newer, older in zip(*both, strict=True):
            scores = {"newer": newer.metrics.get(task.loss), "older": older.metrics.get(task.loss)}
            found[f"{part.name}={newer.value}"] = {"rows": newer.rows} | scores
    return found
