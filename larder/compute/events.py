"""The table whose rows are the events, and what its columns must be for the windows over it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError

ARITHMETIC = ("sum", "mean", "stddev")


@dataclass(frozen=True)
class EventSource:
    """A Delta table of events, one row each."""

    table: str
    """Folder or URI."""
    version: int | None = None
    """Pinned version; None means the latest."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name in the view -> column of the table, where they differ."""

    def column(self, name: str) -> str:
        return self.columns.get(name, name)


def check_events(source: EventSource, schema: pa.Schema, definition: WindowDefinition) -> None:
    """Refuse a table over which the windows cannot be computed exactly.

    Raises MissingColumnsError, InvalidDataError for a time without time zone, or ConfigurationError for a
    function that its column's or its feature's type does not allow.
    """
    wanted = {source.column(name) for name in (*definition.keys, definition.timestamp, *definition.columns)}
    missing = sorted(wanted - set(schema.names))
    if missing:
        raise MissingColumnsError(
            f"{source.table} lacks {missing}, which feature view {definition.view!r} reads; it has {schema.names}. "
            "Write them, or correct the view's entities, timestamp_field or aggregations."
        )
    at = schema.field(source.column(definition.timestamp))
    if not pa.types.is_timestamp(at.type) or at.type.tz is None:
        raise InvalidDataError(
            f"Column {at.name!r} of {source.table} is {at.type}, but feature view {definition.view!r} needs an "
            "instant. Write it as Delta `timestamp` (UTC), not as `timestamp_ntz`, date or text."
        )
    for feature in definition.features:
        _check_types(feature, schema.field(source.column(feature.column)).type, definition.view)


def _check_types(feature: WindowFeature, source: pa.DataType, view: str) -> None:
    seen = f"Aggregation {feature.name!r} of {view!r} takes {feature.function} of {feature.column!r} ({source})"
    if pa.types.is_nested(source):
        raise ConfigurationError(f"{seen}; no function takes lists, maps or structs. Store it in plain columns.")
    if feature.function in ARITHMETIC and not _is_number(source):
        raise ConfigurationError(f"{seen}, which is no number; count, count_distinct, min, max and last would do.")
    result = _result(feature.function, source)
    if not _fits(result, feature.dtype):
        raise ConfigurationError(f"{seen} into a field of type {feature.dtype}; declare the field as {result}.")


def _result(function: str, source: pa.DataType) -> pa.DataType:
    if function in ("count", "count_distinct"):
        return pa.int64()
    if function in ("mean", "stddev"):
        return pa.float64()
    if function == "sum":
        return pa.float64() if pa.types.is_floating(source) or pa.types.is_decimal(source) else pa.int64()
    return source


def _fits(result: pa.DataType, declared: pa.DataType) -> bool:
    """Whether every value of one type is one of the other; among numbers, any whole or any float will do."""
    if pa.types.is_boolean(declared):
        return bool(result == declared)  # Arrow would make any number but zero true
    if _is_number(result) and _is_number(declared):
        return _is_whole(result) or pa.types.is_floating(declared)
    return bool(result == declared) or (pa.types.is_timestamp(result) and pa.types.is_timestamp(declared))


def _is_number(dtype: pa.DataType) -> bool:
    return bool(_is_whole(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype))


def _is_whole(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_boolean(dtype))
