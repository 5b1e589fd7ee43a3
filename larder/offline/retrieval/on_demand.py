"""Request-time features over historical rows: Feast's on-demand views, given only what they declare to read."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import FeastType, Float32, Float64, Int32, Int64, UnixTimestamp, from_value_type

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.offline.retrieval.requests import check_instants
from larder.offline.tables.kinds import INSTANT
from larder.offline.types import declared
from larder.views import by_name

Columns = Mapping[str, pa.ChunkedArray]
_NAMED = 5
"""Inputs named in an error, those of the request first."""


def on_demand_features(
    requests: pa.Table, features: Columns, views: Sequence[OnDemandFeatureView]
) -> dict[str, pa.ChunkedArray]:
    """Outputs of `views` by reference `view:feature`.

    `features` holds the stored features by reference. Functions see null as None and instants as
    datetimes in UTC, as they do when serving.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for view in views:
        outputs = _outputs(view, requests, features)
        for field in view.features:
            reference = f"{view.projection.name_to_use()}:{field.name}"
            columns[reference] = declared(outputs[field.name], field, where=f"the result of {view.name}")
    return columns


def check_request_columns(views: Sequence[OnDemandFeatureView], requests: pa.Table) -> None:
    """Raise MissingColumnsError or InvalidDataError when the request lacks an input or its time zone."""
    for view in views:
        schema = view.get_request_data_schema()
        missing = sorted(set(schema) - set(requests.column_names))
        if missing:
            raise MissingColumnsError(
                f"On-demand view {view.name!r} needs {missing}, but the request has only {requests.column_names}. "
                "Add these columns to the request."
            )
        for name, value_type in schema.items():
            if from_value_type(value_type) == UnixTimestamp:
                check_instants(requests, name)


def _outputs(view: OnDemandFeatureView, requests: pa.Table, features: Columns) -> pa.Table:
    sent, short = view.get_request_data_schema(), dict[str, str]()
    inputs = {name: _as_served(requests[name], name, from_value_type(dtype)) for name, dtype in sent.items()}
    for projection in by_name(view.source_feature_view_projections):
        for field in projection.features:
            name = short[field.name] = f"{projection.name}__{field.name}"
            inputs[name] = features[f"{projection.name_to_use()}:{field.name}"]
    if view.mode == "python":
        outputs = _called(view, inputs, short)
    else:
        table = pa.table({name: _python_instants(column) for name, column in inputs.items()})
        outputs = view.transform_arrow(table, full_feature_names=False)
    if outputs.num_rows != requests.num_rows:
        raise InvalidDataError(
            f"On-demand view {view.name!r} returned {outputs.num_rows} values for {requests.num_rows} rows. "
            "Its function must return one value per row in every list."
        )
    return outputs


def _as_served(values: pa.ChunkedArray, name: str, dtype: FeastType) -> pa.ChunkedArray:
    """Numbers of the request as serving hands them over: pandas has whole ones beside a null as floats."""
    if dtype in (Float32, Float64) and pa.types.is_integer(values.type):
        return values.cast(pa.float64(), safe=False)
    if dtype in (Int32, Int64) and pa.types.is_floating(values.type):
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid as problem:
            raise InvalidDataError(
                f"Column {name!r} of the request is declared {dtype} but is {values.type}, and not all of it is whole: "
                f"{problem}. Round it, or declare the field of the RequestSource as Float64.",
                field=name,
            ) from problem
    return values


def _called(view: OnDemandFeatureView, inputs: Columns, short: Mapping[str, str]) -> pa.Table:
    """The view's function on lists, as serving calls it; Feast's own way there takes seven times as long.

    Functions may use the short name of a stored feature as well as view__feature.
    """
    lists = {name: _values(column) for name, column in inputs.items()}
    lists |= {name: lists[full] for name, full in short.items()}
    function = view.feature_transformation.udf
    try:
        outputs = _by_row(function, lists, view) if view.singleton else function(lists)
    except Exception as problem:
        raise _failure(view, inputs, problem) from problem
    try:
        return pa.table({name: pa.array(outputs[name]) for name in (field.name for field in view.features)})
    except (KeyError, TypeError, OverflowError, pa.ArrowException) as problem:
        raise InvalidDataError(
            f"On-demand view {view.name!r} must return lists of equal length, one per feature of its schema, each of "
            f"one type; that failed: {problem!r}. Correct its function."
        ) from problem


def _by_row(
    function: Callable[[dict[str, Any]], dict[str, Any]], lists: dict[str, list[Any]], view: OnDemandFeatureView
) -> dict[str, list[Any]]:
    """The answers of a singleton's function, which takes one row: what serving returns for each row asked alone."""
    rows = [function(dict(zip(lists, row, strict=True))) for row in zip(*lists.values(), strict=True)]
    return {field.name: [_unwrapped(row[field.name]) for row in rows] for field in view.features}


def _unwrapped(value: Any) -> Any:
    """A singleton may give its value in a list, as the others do."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _failure(view: OnDemandFeatureView, inputs: Columns, problem: Exception) -> InvalidDataError:
    """What the view's function failed with, and the nulls among its inputs, which are the usual cause."""
    nulls = [f"{name} is null in {column.null_count:,}" for name, column in inputs.items() if column.null_count]
    rows = len(next(iter(inputs.values()), ()))
    more = f" and {len(nulls) - _NAMED} further inputs in some" if len(nulls) > _NAMED else ""
    seen = ", ".join(nulls[:_NAMED]) + more or "none of its inputs is null"
    return InvalidDataError(
        f"On-demand view {view.name!r} failed: {problem!r}. Of {rows:,} rows {seen}. Correct its function, which must "
        "return None for what it cannot compute, or leave such rows out of the request."
    )


def _values(column: pa.ChunkedArray) -> list[Any]:
    """As Python values: null is None, an instant a datetime in UTC. By NumPy where it can, for its speed."""
    is_instant = pa.types.is_timestamp(column.type)
    if not (is_instant or pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return list(column.to_pylist())
    if is_instant:
        column = _python_instants(column).cast(pa.int64())
    numbers = pc.fill_null(column, 0).to_numpy()
    values: list[Any] = (
        [at.replace(tzinfo=UTC) for at in numbers.view("datetime64[us]").tolist()] if is_instant else numbers.tolist()
    )
    for position in np.flatnonzero(pc.is_null(column).to_numpy()):
        values[position] = None
    return values


def _python_instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps as UTC microseconds, which Arrow hands out as datetimes; nanoseconds would be pandas'."""
    return column.cast(INSTANT, safe=False) if pa.types.is_timestamp(column.type) else column
