"""Values between Feast's protobuf, Python and Arrow."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Map, MapKey, MapList, RepeatedValue, Value, ZonedTimestamp
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, python_values_to_proto_values
from feast.value_type import ValueType

from larder.contracts.clock import EPOCH
from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import Feature, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.packed.arrow_types import arrow_type
from larder.online.packed.types import opened

EntityRow = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]
StoredRow = tuple[datetime | None, dict[str, Value] | None]

SECOND = timedelta(seconds=1)
NAN = float("nan")
NO_VALUE = Value()
SCALAR_FIELDS = {
    "float64": "double_val",
    "float32": "float_val",
    "int64": "int64_val",
    "int32": "int32_val",
    "bool": "bool_val",
    "string": "string_val",
    "json": "json_val",
    "uuid": "uuid_val",
    "time_uuid": "time_uuid_val",
    "decimal": "decimal_val",
    "bytes": "bytes_val",
    "pdf_bytes": "bytes_val",
    "image_bytes": "bytes_val",
    "unix_timestamp": "unix_timestamp_val",
}
"""Field of Feast's Value for each type; its timestamps count whole seconds."""
SAME_IN_FEAST = frozenset({"float64", "float32", "int64", "int32", "bool", "string"})
"""Types whose values come out of Feast's protobuf as they went into it."""
MAP_TYPES = {"map": ValueType.MAP, "scalar_map": ValueType.SCALAR_MAP}


def rows_table(plan: ViewPlan, data: Sequence[EntityRow]) -> pa.Table:
    """Feast's rows as the columns that `write_records` takes."""
    table = keys_table(plan, [key for key, _, _, _ in data])
    for feature in plan.features:
        table = _with_column(table, feature, [python_of(values.get(feature.name)) for _, values, _, _ in data])
    table = _with_column(table, Feature(EVENT_TIMESTAMP, "unix_timestamp"), [_utc(event) for _, _, event, _ in data])
    return _with_column(table, Feature(KNOWN_AT, "unix_timestamp"), [_utc(created) for _, _, _, created in data])


def keys_table(plan: ViewPlan, keys: Sequence[EntityKey]) -> pa.Table:
    """Entity keys as columns; Feast names the parts of each key and orders them as it likes."""
    parts = [dict(zip(key.join_keys, key.entity_values, strict=True)) for key in keys]
    # A view without entities has no key column; the place keeps the number of rows.
    table = pa.table({DUMMY_ENTITY_ID: pa.nulls(len(keys))})
    for key in plan.join_keys:
        table = _with_column(table, key, [python_of(part.get(key.name)) for part in parts])
    return table


def _with_column(table: pa.Table, feature: Feature, values: list[Any]) -> pa.Table:
    try:
        if feature.dtype in MAP_TYPES:  # no Arrow type holds the mixed values that they may have
            if feature.dtype == "map":
                values = [value and _present(value) for value in values]
            cells = [None if value is None else msgspec.msgpack.encode(value) for value in values]
            return table.append_column(feature.name, pa.array(cells, pa.large_binary()))
        return table.append_column(feature.name, pa.array(values, arrow_type(feature.dtype)))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise InvalidDataError(
            f"{feature.name!r} does not fit {feature.dtype}: {problem}. Correct the value.", field=feature.name
        ) from problem


def _present(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not null, as offline: pandas' dicts of one column arrive with all keys of all rows."""
    return {name: item for name, item in entries.items() if item is not None}


def python_of(value: Value | None) -> Any:
    """A set as a list, texts as they are; an instant in UTC."""
    kind = None if value is None else value.WhichOneof("val")
    if value is None or kind is None:
        return None
    content = getattr(value, kind)
    convert = _FROM_FEAST.get(kind)
    if convert is not None:
        return convert(content)
    return list(content.val) if kind.endswith(("_list_val", "_set_val")) else content


def values_of(view: str, feature: Feature, column: Sequence[Any]) -> list[Value]:
    """The inverse of `python_of`. A null among floats becomes NaN, as in pandas, where training sees it as one, too.

    Raises InvalidDataError for what Feast's Value cannot say: a null among values of another kind.
    """
    try:
        return [NO_VALUE if content is None else _value_of(content, feature.dtype) for content in column]
    except TypeError as problem:
        raise InvalidDataError(
            f"{view}:{feature.name} has a null inside a value of type {feature.dtype}, which Feast's protobuf cannot "
            f"say ({problem}). Read it with larder.online.FeatureReader, or fill the null in the source.",
            field=feature.name,
        ) from problem


def _value_of(content: Any, dtype: str) -> Value:
    if content is None:
        return NO_VALUE
    field = SCALAR_FIELDS.get(dtype)
    if field is not None:
        return _value(field, _seconds(content) if dtype == "unix_timestamp" else content)
    return _compound_value(content, dtype)


def _compound_value(content: Any, dtype: str) -> Value:
    outer, inner = opened(dtype)
    if dtype == "zoned_timestamp":
        return Value(zoned_timestamp_val=ZonedTimestamp(unix_timestamp=_seconds(content), zone="UTC"))
    if dtype in MAP_TYPES:
        value: Value = python_values_to_proto_values([content], MAP_TYPES[dtype])[0]
        return value
    if outer == "struct":
        types = {unquote(name): part for name, _, part in (field.partition(":") for field in inner)}
        return Value(struct_val=Map(val={name: _value_of(part, types[name]) for name, part in content.items()}))
    element, ending = inner[0], "list_val" if outer == "array" else "set_val"
    if element in SCALAR_FIELDS:
        items = [_ITEM_OF[element](item) for item in content] if element in _ITEM_OF else content
        return _value(SCALAR_FIELDS[element].removesuffix("val") + ending, {"val": items})
    values = [_value_of(item, element) for item in content]
    if element == "map":
        return Value(map_list_val=MapList(val=[value.map_val for value in values]))
    if element.startswith("struct"):
        return Value(struct_list_val=MapList(val=[value.struct_val for value in values]))
    return _value(ending, RepeatedValue(val=values))


def _value(field: str, content: Any) -> Value:
    return Value(**{field: content})


def _seconds(instant: datetime | None) -> int:
    return NULL_TIMESTAMP_INT_VALUE if instant is None else (instant - EPOCH) // SECOND


def _number(item: float | None) -> float:
    return NAN if item is None else item


_ITEM_OF: Mapping[str, Callable[[Any], Any]] = {"unix_timestamp": _seconds, "float64": _number, "float32": _number}
"""Kinds of elements that have a value of their own for null."""


def _instant(seconds: int) -> datetime | None:
    return None if seconds == NULL_TIMESTAMP_INT_VALUE else EPOCH + seconds * SECOND


def _instants(content: Any) -> list[datetime | None]:
    return [_instant(seconds) for seconds in content.val]


def _map(content: Map) -> dict[str, Any]:
    return {name: python_of(item) for name, item in content.val.items()}


def _map_key(key: MapKey) -> Any:
    kind = key.WhichOneof("key")
    content: Any = None if kind is None else getattr(key, kind)
    return EPOCH + content * SECOND if kind == "unix_timestamp_key" else content


_FROM_FEAST: Mapping[str, Callable[[Any], Any]] = {
    "unix_timestamp_val": _instant,
    "zoned_timestamp_val": lambda content: _instant(content.unix_timestamp),
    "unix_timestamp_list_val": _instants,
    "unix_timestamp_set_val": _instants,
    "map_val": _map,
    "struct_val": _map,
    "map_list_val": lambda content: [_map(item) for item in content.val],
    "struct_list_val": lambda content: [_map(item) for item in content.val],
    "scalar_map_val": lambda content: {_map_key(entry.key): python_of(entry.value) for entry in content.val},
    "list_val": lambda content: [python_of(item) for item in content.val],
    "set_val": lambda content: [python_of(item) for item in content.val],
}
"""Fields of Value that are neither a scalar nor a list of scalars."""


def _utc(instant: datetime | None) -> datetime | None:
    """Feast's interface says that a naive instant is UTC; in a column of times pandas' null is NaT."""
    if instant is None or instant != instant:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
