"""Arrow values in the type that a feature declares."""

from collections.abc import Callable

import pyarrow as pa
from feast import Field
from feast.types import FEAST_TYPES_TO_PYARROW_TYPES, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

from larder.contracts.errors import InvalidDataError

_STORED_AS: dict[object, Callable[[pa.DataType], bool]] = {
    Bool: pa.types.is_boolean,
    Float32: lambda stored: pa.types.is_floating(stored) or pa.types.is_integer(stored),
    Float64: lambda stored: pa.types.is_floating(stored) or pa.types.is_integer(stored),
    Int32: pa.types.is_integer,
    Int64: pa.types.is_integer,
    String: lambda stored: pa.types.is_string(stored) or pa.types.is_large_string(stored),
    UnixTimestamp: lambda stored: pa.types.is_timestamp(stored) and stored.tz is not None,
}


def declared(values: pa.ChunkedArray, field: Field, *, where: str) -> pa.ChunkedArray:
    """`values` in the Arrow type of `field`; types without widths to choose from pass as they are.

    Raises InvalidDataError when the stored type is another kind of value or a value does not fit.
    """
    fits = _STORED_AS.get(field.dtype)
    if fits is None:
        return values
    if not (fits(values.type) or pa.types.is_null(values.type)):
        raise InvalidDataError(_mismatch(values, field, where))
    try:
        return values.cast(FEAST_TYPES_TO_PYARROW_TYPES[field.dtype])
    except pa.ArrowInvalid as problem:
        raise InvalidDataError(f"{_mismatch(values, field, where)} ({problem})") from problem


def _mismatch(values: pa.ChunkedArray, field: Field, where: str) -> str:
    return (
        f"Feature {field.name!r} is declared {field.dtype} but is {values.type} in {where}. "
        "Correct the feature view's schema or write the column in the declared type."
    )
