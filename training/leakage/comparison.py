"""Is the training set better informed than serving? Per feature, and for the model as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.errors import InvalidDataError
from larder.contracts.objective import Objective
from larder.contracts.plan import FeaturePlan
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP, Lake
from larder.evaluation import Outcomes, task_of
from larder.leakage.auc import Gain, gain, ranking
from larder.leakage.compare import FeatureLeakage, FeatureValues, Limits, feature_leakage, is_better
from larder.leakage.service import ServiceColumns, gold_until, service_columns
from larder.offline.tables.kinds import INSTANT
from larder.versions.pins import version_to_read
from training.data.labels import label_selection, read_labels
from training.data.training_set import TrainingSet, model_columns, request_columns, service_plan
from training.models.model import Columns, fit, predictions

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Sample:
    """Label rows in order of prediction instant, with their features three ways."""

    rows: pa.Table
    is_above: npt.NDArray[np.bool_]
    """What features are to tell apart: true labels, or numbers above their median."""
    columns: ServiceColumns
    plan: FeaturePlan
    left_out: int
    """Labels after the last refresh of the gold tables, which these cannot answer for."""


@dataclass(frozen=True)
class ModelLeakage:
    """The declared pipeline, trained on the training set as it is, on the sampled test rows."""

    rows: int
    auc_looks_like: float
    """ROC-AUC on the training set's columns; of numbers, how well it tells those above their median."""
    auc_serves_as: float
    """ROC-AUC of the same model on what was known."""
    loss: str
    """`log_loss`, or `mae` where numbers are predicted."""
    loss_looks_like: float
    loss_serves_as: float
    gain: Gain
    is_flagged: bool


def sampled_columns(
    store: "FeatureStore",
    settings: Settings,
    objective: Objective,
    *,
    service: str,
    rows: int,
    seed: int,
    known: Mapping[str, str],
) -> Sample:
    """At most `rows` labels (0: all), one from each of as many equal stretches of the label table.

    Raises what building a training set raises, and InvalidDataError when gold reaches none of the labels.
    """
    plan = service_plan(store, service)
    request = request_columns(plan)
    place = Lake(settings.lake).labels(objective.label.table)
    selection = label_selection(objective, now=settings.clock())
    labels = read_labels(place, selection, request, version=version_to_read(place, lake=settings.lake))
    every = pa.concat_tables([labels.train, labels.test]).combine_chunks()
    answered = answered_for(every, gold_until(store, plan))
    chosen = answered.take(stratified(answered.num_rows, rows, seed=seed))
    return Sample(
        rows=chosen,
        is_above=task_of(objective).is_above(_outcomes(chosen, objective)),
        columns=service_columns(store, plan, chosen, at=EVENT_TIMESTAMP, known=known),
        plan=plan,
        left_out=every.num_rows - answered.num_rows,
    )


def stratified(rows: int, wanted: int, *, seed: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Ascending numbers of the rows to look at: one drawn from each of `wanted` equal stretches; 0 means all."""
    if not 0 < wanted < rows:
        return np.arange(rows)
    bounds = np.linspace(0, rows, wanted + 1).astype(np.int64)
    return np.random.default_rng(seed).integers(bounds[:-1], bounds[1:])


def answered_for(labels: pa.Table, until: datetime | None) -> pa.Table:
    """Labels that gold answers for, in order of prediction instant."""
    ordered = labels.take(pc.sort_indices(labels[EVENT_TIMESTAMP]))
    if until is None:
        return ordered
    reached = ordered.filter(pc.less_equal(ordered[EVENT_TIMESTAMP], pa.scalar(until, INSTANT)))
    if not reached.num_rows:
        raise InvalidDataError(
            f"No label lies before {until.isoformat()}, up to where the gold tables reach. Run `larder features`."
        )
    return reached


def feature_leakages(sample: Sample, limits: Limits) -> list[FeatureLeakage]:
    """One verdict per model input, in the service's order."""
    return [
        feature_leakage(name, _values(sample.columns, name), sample.is_above, limits)
        for name in sample.columns.training.column_names
    ]


def model_leakage(sample: Sample, data: TrainingSet, objective: Objective, limits: Limits) -> ModelLeakage:
    """Fit the declared pipeline to the training rows and judge it on the sample's test rows, both ways."""
    columns = model_columns(sample.plan)
    is_test = pc.greater_equal(sample.rows[EVENT_TIMESTAMP], pa.scalar(objective.split_at.astimezone(UTC), INSTANT))
    task, outcome = task_of(objective), _outcomes(sample.rows.filter(is_test), objective)
    pipeline = fit(objective, data.train, columns)
    looks_like, serves_as = (
        predictions(pipeline, _inputs(table.filter(is_test), columns), columns)
        for table in (sample.columns.training, sample.columns.known_time)
    )
    is_above = task.is_above(outcome)
    offline, served = (ranking(predicted, is_above) for predicted in (looks_like, serves_as))
    difference = gain(offline, served)
    return ModelLeakage(
        rows=len(outcome),
        auc_looks_like=offline.auc,
        auc_serves_as=served.auc,
        loss=task.loss,
        loss_looks_like=task.metrics(outcome, looks_like)[task.loss],
        loss_serves_as=task.metrics(outcome, serves_as)[task.loss],
        gain=difference,
        is_flagged=is_better(difference, limits),
    )


def _outcomes(rows: pa.Table, objective: Objective) -> Outcomes:
    """Not all the same."""
    outcome = task_of(objective).outcomes(rows, objective.label.column)
    if len(np.unique(outcome)) < 2:
        raise InvalidDataError(
            f"All {len(outcome)} labels {objective.label.column!r} looked at are the same, so nothing ranks them. "
            "Look at more with --rows, or move split_at in the training file."
        )
    return outcome


def _values(columns: ServiceColumns, name: str) -> FeatureValues:
    tables = (columns.event_time, columns.training, columns.known_time)
    event_time, training, known_time = (pl.Series(name, table[name]) for table in tables)
    return FeatureValues(event_time, training, known_time, columns.unknown.get(name, ""))


def _inputs(rows: pa.Table, columns: Columns) -> pa.Table:
    """As the training set has them: numbers as float32."""
    types = {name: pa.float32() if name in columns.numbers else pa.large_string() for name in columns.names}
    return pa.table({name: rows[name].cast(dtype, safe=False) for name, dtype in types.items()})
