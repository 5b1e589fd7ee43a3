"""Arrow types of features, those of the offline join, and columns brought into them."""

from datetime import UTC, datetime
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.clock import microseconds
from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import Feature
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.kinds import INSTANT, has_overflowed, in_utc, is_bytes, is_list, is_same_kind, is_text, parts
from larder.online.packed.types import BLOBS, INSTANTS, LISTS, MAPS, TEXTS, element_type, opened

_PLAIN = {
    "float64": pa.float64(),
    "float32": pa.float32(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "bool": pa.bool_(),
    "json": pa.large_string(),
    "map": pa.map_(pa.string(), pa.string()),
}
_PLAIN |= dict.fromkeys(INSTANTS, INSTANT) | dict.fromkeys(BLOBS, pa.binary())
_PLAIN |= {text: pa.string() for text in TEXTS if text not in _PLAIN}

_ROOMY = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
_EARLIEST, _LATEST = (microseconds(limit.replace(tzinfo=UTC)) for limit in (datetime.min, datetime.max))


def arrow_type(dtype: str) -> pa.DataType | None:
    """The type in which the offline join returns a feature; None for map and scalar_map, whose values have any type."""
    return None if dtype in MAPS else _part_type(dtype)


def fitted(column: pa.ChunkedArray, feature: Feature) -> pa.ChunkedArray:
    """`column` in the type of the feature, texts and bytes with large offsets.

    Nanoseconds are cut to microseconds. Raises InvalidDataError, naming the feature, for another kind of value or
    one that would lose something: text is never read as a number, and a naive timestamp never as UTC.
    """
    wanted, found = arrow_type(feature.dtype), column.type
    if pa.types.is_dictionary(found):
        return fitted(column.cast(found.value_type), feature)
    if not (_is_map(found, feature.dtype) if wanted is None else _is_acceptable(wanted, found, feature)):
        zone = " (a timestamp needs a time zone)" if "timestamp" in str(found) else ""
        raise InvalidDataError(
            f"Column {feature.name!r} has type {found}, where {feature.dtype} belongs{zone}. "
            "Correct the source, or the type that the view declares.",
            field=feature.name,
        )
    if wanted is None:
        wanted = in_utc(found)
    try:
        cast = column.cast(_ROOMY.get(wanted, wanted), safe=not _is_nanoseconds(found))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise InvalidDataError(
            f"Column {feature.name!r} does not fit {feature.dtype}: {problem}. Correct the source.", field=feature.name
        ) from problem
    if "float32" in feature.dtype and has_overflowed(cast, column):
        raise InvalidDataError(
            f"Column {feature.name!r} does not fit {feature.dtype}: a number is beyond the range of 32 bits. "
            "Correct the source, or declare the feature with 64 bits.",
            field=feature.name,
        )
    if feature.dtype in INSTANTS or element_type(feature.dtype) in INSTANTS:
        _refuse_foreign_years(cast, feature)
    return cast


def _part_type(dtype: str) -> pa.DataType:
    outer, inner = opened(dtype)
    if outer in LISTS:
        return pa.list_(_part_type(inner[0]))
    if outer == "struct":
        named = [part.partition(":") for part in inner]
        return pa.struct([(unquote(name), _part_type(part)) for name, _, part in named])
    return _PLAIN[dtype]


def _is_acceptable(wanted: pa.DataType, found: pa.DataType, feature: Feature) -> bool:
    is_decimal = feature.dtype == "decimal" and pa.types.is_decimal(found)
    is_whole = feature.dtype in ("float64", "float32") and pa.types.is_integer(found)
    # A day is the value of a feature at its midnight, as offline, but never the instant at which something happened.
    is_day = feature.dtype in INSTANTS and pa.types.is_date(found) and feature.name not in (EVENT_TIMESTAMP, KNOWN_AT)
    return bool(is_decimal or is_whole or is_day or is_same_kind(wanted, found))


def _is_map(found: pa.DataType, dtype: str) -> bool:
    """Feast's maps hold any values; dicts of pandas are structs, and mixed values come as MessagePack."""
    if pa.types.is_null(found) or is_bytes(found):
        return True
    if pa.types.is_struct(found):
        return dtype == "map" and _is_free(found)
    return bool(pa.types.is_map(found)) and (dtype != "map" or is_text(found.key_type)) and _is_free(found)


def _is_free(found: pa.DataType) -> bool:
    """Whether MessagePack gives back what it gets."""
    if is_list(found) or pa.types.is_dictionary(found):
        return _is_free(found.value_type)
    if pa.types.is_map(found):
        return _is_free(found.key_type) and _is_free(found.item_type)
    if pa.types.is_struct(found):
        return all(map(_is_free, parts(found).values()))
    if pa.types.is_timestamp(found):
        return found.tz is not None
    kinds = (pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_float32, pa.types.is_float64)
    return is_text(found) or is_bytes(found) or any(is_kind(found) for is_kind in kinds)


def _is_nanoseconds(found: pa.DataType) -> bool:
    found = found.value_type if is_list(found) else found
    return bool(pa.types.is_timestamp(found)) and found.unit == "ns"


def _refuse_foreign_years(column: pa.ChunkedArray, feature: Feature) -> None:
    instants = pc.list_flatten(column) if is_list(column.type) else column
    ends = pc.min_max(instants.cast(pa.int64())).as_py()
    if ends["min"] is not None and (ends["min"] < _EARLIEST or ends["max"] > _LATEST):
        raise InvalidDataError(
            f"Column {feature.name!r} holds an instant outside the years 1 to 9999, which no reader could return. "
            "Correct the source.",
            field=feature.name,
        )
