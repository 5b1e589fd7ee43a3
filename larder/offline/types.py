"""Arrow values in the type that a feature declares or a table column has; another kind of value is refused."""

from typing import Any

import pyarrow as pa
from feast import Field
from feast.types import (
    FEAST_TYPES_TO_PYARROW_TYPES,
    Array,
    Bytes,
    Decimal,
    FeastType,
    Float32,
    Float64,
    ImageBytes,
    Map,
    PdfBytes,
    PrimitiveFeastType,
    Set,
    Struct,
    UnixTimestamp,
)

from larder.contracts.errors import InvalidDataError
from larder.offline.tables.kinds import has_overflowed, is_same_kind, is_text

_MAP = FEAST_TYPES_TO_PYARROW_TYPES[Map]


def declared(values: pa.ChunkedArray, field: Field, *, where: str) -> pa.ChunkedArray:
    """`values` in the Arrow type of `field`.

    Raises InvalidDataError when the stored type is another kind of value or a value does not fit.
    """
    wanted, found = arrow_type(field.dtype), values.type
    if wanted is None or (wanted == _MAP and _is_keyed_by_text(found)):
        return values
    is_decimal = field.dtype == Decimal and pa.types.is_decimal(found)
    is_whole = field.dtype in (Float32, Float64) and pa.types.is_integer(found)
    is_day = field.dtype == UnixTimestamp and pa.types.is_date(found)
    try:
        if is_decimal or is_whole or is_day or is_same_kind(wanted, found):
            return _finite(values.cast(wanted), values)
    except pa.ArrowInvalid as problem:
        raise InvalidDataError(f"{_mismatch(field, found, where)} ({problem})", field=field.name) from problem
    raise InvalidDataError(_mismatch(field, found, where), field=field.name)


def arrow_type(dtype: FeastType) -> pa.DataType | None:
    """The Arrow type of a Feast type, a set being a list; None for what has no one type (ScalarMap)."""
    if isinstance(dtype, Array | Set):
        items = arrow_type(dtype.base_type)
        return None if items is None else pa.list_(items)
    if isinstance(dtype, Struct):
        parts = {name: arrow_type(part) for name, part in dtype.fields.items()}
        return None if None in parts.values() else pa.struct(list(parts.items()))
    if dtype in (Bytes, PdfBytes, ImageBytes):
        return pa.binary()
    return FEAST_TYPES_TO_PYARROW_TYPES.get(dtype) if isinstance(dtype, PrimitiveFeastType) else None


def fitted(values: pa.ChunkedArray, column: pa.Field, *, where: str) -> pa.ChunkedArray:
    """`values` as `column` of a table stores them, or InvalidDataError with the column named.

    Only the width of a number may change, and only where every value fits; float64 is rounded to float32. A time
    zone becomes UTC. Text is never read as a number, nor a naive time as an instant.
    """
    wanted, found = column.type, values.type
    try:
        if pa.types.is_map(wanted) and pa.types.is_struct(found):  # how pandas' dicts arrive
            return pa.chunked_array([pa.array(_pairs(values), wanted)])
        if is_same_kind(wanted, found) or (pa.types.is_floating(wanted) and pa.types.is_integer(found)):
            return _finite(values.cast(wanted), values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise InvalidDataError(f"{_refused(column, found, where)} ({problem})", field=column.name) from problem
    raise InvalidDataError(_refused(column, found, where), field=column.name)


def _is_keyed_by_text(dtype: pa.DataType) -> bool:
    """Feast's Map holds values of any type; pandas' dicts arrive as structs."""
    return pa.types.is_struct(dtype) or (pa.types.is_map(dtype) and is_text(dtype.key_type))


def _pairs(structs: pa.ChunkedArray) -> list[list[tuple[str, Any]] | None]:
    """Each struct's parts that are not null: pandas' dicts of one column arrive with all keys of all rows."""
    return [
        None if row is None else [(key, value) for key, value in row.items() if value is not None]
        for row in structs.to_pylist()
    ]


def _finite(cast: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """`cast`, unless a number of `values` became infinite on the way to fewer bits."""
    if has_overflowed(cast, values):
        raise pa.ArrowInvalid("a number is beyond its range")
    return cast


def _mismatch(field: Field, found: pa.DataType, where: str) -> str:
    return (
        f"Feature {field.name!r} is declared {field.dtype} but is {found} in {where}. "
        "Correct the feature view's schema or write the column in the declared type."
    )


def _refused(column: pa.Field, found: pa.DataType, where: str) -> str:
    zone = " with a time zone" if pa.types.is_timestamp(column.type) and column.type.tz else ""
    return (
        f"Column {column.name!r} of {where} is {column.type}, but the rows to write have it as {found}; nothing was "
        f"written. Convert the column to {column.type}{zone} first."
    )
