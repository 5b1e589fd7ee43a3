"""The prediction log: one append-only Delta table with a row per predicted row and model.

Only serving writes it (serving/log/logger.py says how) and the replay of history.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from larder.contracts.errors import SchemaMismatchError
from larder.contracts.objective import CLASSIFICATION, PREDICTED
from larder.contracts.plan import Feature, FeaturePlan
from larder.contracts.tables import LIVE
from serving.log.stored_types import as_stored
from serving.models.model import Model
from serving.models.predictions import Prediction

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoggedAnswer:
    """The answer to one request, which holds several rows."""

    id: str
    at: datetime
    model: Model
    rows: Sequence[dict[str, Any]]
    values: Sequence[Sequence[Any]]
    predictions: Sequence[Prediction]
    traffic: str = LIVE
    """`live`, or `shadow` for the same request as a model saw it that only listens."""
    request_plan: FeaturePlan | None = None
    """The plan that names the request's fields where it is not the model's own: a shadow hears the champion's."""


class Description(msgspec.Struct, frozen=True):
    """What answers have in common: all that their entries lack to become rows of the log, without their model."""

    model: str
    version: str
    task: str
    """`classification` or `regression`."""
    request: tuple[Feature, ...]
    features: tuple[Feature, ...]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An answer without what its description says."""

    id: str
    at: datetime
    traffic: str
    requests: Sequence[Sequence[Any]]
    """Per row the values of the description's `request` fields, in their order."""
    values: Sequence[Sequence[Any]]
    """Per row those of its `features`."""
    predictions: Sequence[Prediction]


def description(answer: LoggedAnswer) -> Description:
    model, plan = answer.model, answer.request_plan or answer.model.plan
    return Description(
        model.manifest.model,
        model.manifest.version,
        model.manifest.task,
        plan.request,
        tuple(Feature(column.name, column.dtype) for column in model.plan.columns),
    )


def entry(answer: LoggedAnswer) -> Entry:
    requests = [list(row.values()) for row in answer.rows]
    return Entry(answer.id, answer.at, answer.traffic, requests, answer.values, answer.predictions)


def delta_writer(table: str) -> Callable[[Sequence[LoggedAnswer]], None]:
    """A function that appends answers to the Delta table at `table`, made by the first write."""

    def write(answers: Sequence[LoggedAnswer]) -> None:
        for rows in _tables(answers):
            append(table, rows)

    return write


def rows_that_fit(described: Description, answers: Sequence[Entry], stored: Any = None) -> list[Any]:
    """Arrow tables of the answers, in the types of the schema `stored` where there is a table already.

    Answers with a value that their column cannot hold are left out.
    """
    try:
        rows = _rows(described, answers)
        return [rows if stored is None else as_stored(rows, stored)]
    except SchemaMismatchError as problem:  # of one answer as of all
        _LOG.warning("Answers of %s %s cannot be logged: %s", described.model, described.version, problem)
        return []
    except (ValueError, TypeError, OverflowError, NotImplementedError) as problem:
        if len(answers) == 1:
            _LOG.warning("An answer of %s %s cannot be logged: %s", described.model, described.version, problem)
            return []
    return [rows for answer in answers for rows in rows_that_fit(described, [answer], stored)]


def append(table: Any, rows: Any, **options: Any) -> None:
    """`table` is a DeltaTable, or the place of one that is made where there is none."""
    from deltalake import write_deltalake

    write_deltalake(
        table,
        rows,
        mode="append",
        schema_mode="merge",  # another version of the model may bring other features
        # Statistics lie in the table's log and outlive deleted rows; requests may name persons.
        configuration={"delta.dataSkippingStatsColumns": "at"},
        **options,
    )


def arrow_type(dtype: str) -> Any:
    """Arrow type of a Feast type's lower-case name. Raises SchemaMismatchError for one that cannot be logged."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "bytes": pa.binary(),
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "unix_timestamp": pa.timestamp("us", "UTC"),
    }
    if dtype not in types:
        raise SchemaMismatchError(f"A value of type {dtype} cannot be logged; possible are {', '.join(types)}.")
    return types[dtype]


def _tables(answers: Sequence[LoggedAnswer]) -> list[Any]:
    """The answers as Arrow tables, one per schema: a champion and a shadow with the same columns share a commit."""
    import pyarrow as pa

    by_model: dict[tuple[int, int], list[LoggedAnswer]] = {}
    for answer in answers:
        by_model.setdefault((id(answer.model), id(answer.request_plan)), []).append(answer)
    by_schema: dict[Any, list[Any]] = {}
    for same_model in by_model.values():
        rows = _rows(description(same_model[0]), [entry(answer) for answer in same_model])
        by_schema.setdefault(rows.schema, []).append(rows)
    return [pa.concat_tables(tables) for tables in by_schema.values()]


def _rows(described: Description, answers: Sequence[Entry]) -> Any:
    """One Arrow row per predicted row; all answers have the same description."""
    import pyarrow as pa

    predictions = [prediction for answer in answers for prediction in answer.predictions]
    requests = [row for answer in answers for row in answer.requests]
    values = [row for answer in answers for row in answer.values]
    texts = pa.list_(pa.string())
    return pa.table(
        {
            "answer_id": [answer.id for answer in answers for _ in answer.requests],
            "row": pa.array([i for answer in answers for i in range(len(answer.requests))], pa.int32()),
            "at": pa.array([answer.at for answer in answers for _ in answer.requests], pa.timestamp("us", "UTC")),
            "model": [described.model] * len(requests),
            "version": [described.version] * len(requests),
            "traffic": [answer.traffic for answer in answers for _ in answer.requests],
            "request": _struct(described.request, requests),
            "features": _struct(described.features, values),
            "missing": pa.array([prediction.missing for prediction in predictions], texts),
            "stale": pa.array([prediction.stale for prediction in predictions], texts),
            "out_of_bounds": pa.array([prediction.out_of_bounds for prediction in predictions], texts),
            **_answered(described.task, predictions),
            "confidence": [prediction.confidence for prediction in predictions],
        }
    )


def _answered(task: str, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """A probability and the decision, or a number."""
    import pyarrow as pa

    predicted = pa.array([prediction.predicted for prediction in predictions], pa.float64())
    found = {PREDICTED[task]: predicted}
    if task == CLASSIFICATION:
        found["decision"] = pa.array([prediction.decision for prediction in predictions], pa.bool_())
    return found


def _struct(fields: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> Any:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    arrays = [pa.array(column, arrow_type(item.dtype)) for item, column in zip(fields, columns, strict=True)]
    return pa.StructArray.from_arrays(arrays, names=[item.name for item in fields])
