"""Values between Feast's protobuf, Python and Arrow."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import Feature, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.packed.packing import ARROW_TYPES
from larder.online.packed.record import EPOCH

EntityRow = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]
StoredRow = tuple[datetime | None, dict[str, Value] | None]

VALUE_FIELDS = {
    "float64": "double_val",
    "float32": "float_val",
    "int64": "int64_val",
    "int32": "int32_val",
    "bool": "bool_val",
    "string": "string_val",
    "bytes": "bytes_val",
    "unix_timestamp": "unix_timestamp_val",
}
"""Field of Feast's Value for each type; its timestamps count whole seconds."""


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
        return table.append_column(feature.name, pa.array(values, ARROW_TYPES[feature.dtype]))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise InvalidDataError(
            f"{feature.name!r} does not fit {feature.dtype}: {problem}. Correct the value.", field=feature.name
        ) from problem


def python_of(value: Value | None) -> Any:
    kind = None if value is None else value.WhichOneof("val")
    if value is None or kind is None:
        return None
    content = getattr(value, kind)
    if kind != "unix_timestamp_val":
        return content
    return None if content == NULL_TIMESTAMP_INT_VALUE else EPOCH + timedelta(seconds=content)


def value_of(content: Any, dtype: str) -> Value:
    if content is None:
        return Value()
    if dtype == "unix_timestamp":
        content = (content - EPOCH) // timedelta(seconds=1)
    return Value(**{VALUE_FIELDS[dtype]: content})


def _utc(instant: datetime | None) -> datetime | None:
    """Feast's interface says that a naive instant is UTC."""
    if instant is None:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
