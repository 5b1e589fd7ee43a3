"""Arrow columns to packed records and Redis keys, a whole batch at a time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.contracts.plan import Feature, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.packed.keys import KEY_LETTERS, check_key_types
from larder.online.packed.record import HEADER, Layout

Numbers = NDArray[Any]
INSTANT = pa.timestamp("us", tz="UTC")
ARROW_TYPES = {
    "float64": pa.float64(),
    "float32": pa.float32(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "bool": pa.bool_(),
    "unix_timestamp": INSTANT,
    "string": pa.large_string(),
    "bytes": pa.large_binary(),
}


def typed_rows(view: ViewPlan, rows: pa.Table) -> pa.Table:
    """The columns of `rows` that a record needs, in the types of the view.

    A null or absent known_at becomes the event timestamp. Raises MissingColumnsError or InvalidDataError
    with the column's name; text is never read as a number, and a naive timestamp never as UTC.
    """
    needed = [*view.join_keys, *view.features, Feature(EVENT_TIMESTAMP, "unix_timestamp")]
    missing = [feature.name for feature in needed if feature.name not in rows.column_names]
    if missing:
        raise MissingColumnsError(
            f"Rows for view {view.name!r} lack {missing}; they have {rows.column_names}. Add them to the source."
        )
    columns = {feature.name: _typed(rows[feature.name], feature) for feature in needed}
    if columns[EVENT_TIMESTAMP].null_count:
        raise InvalidDataError(
            f"Rows for view {view.name!r} have no {EVENT_TIMESTAMP} in {columns[EVENT_TIMESTAMP].null_count} places. "
            "Every value needs the instant that it describes.",
            field=EVENT_TIMESTAMP,
        )
    known_at = columns[EVENT_TIMESTAMP]
    if KNOWN_AT in rows.column_names:
        known_at = pc.coalesce(_typed(rows[KNOWN_AT], Feature(KNOWN_AT, "unix_timestamp")), known_at)
    return pa.table(columns | {KNOWN_AT: known_at}).combine_chunks()


def packed_records(layout: Layout, rows: pa.Table) -> list[bytes]:
    """One record per row of `typed_rows`."""
    heads = np.zeros((rows.num_rows, layout.fixed_size), np.uint8)
    heads[:, : len(layout.prefix)] = np.frombuffer(layout.prefix, np.uint8)
    _put(heads, len(layout.prefix), _int64(rows[EVENT_TIMESTAMP]))
    _put(heads, len(layout.prefix) + 8, _int64(rows[KNOWN_AT]))
    end = np.zeros(rows.num_rows, np.uint32)
    texts = []
    for index, feature in enumerate(layout.view.features):
        column = _array(rows[feature.name])
        if column.null_count:
            nulls = pc.is_null(column).to_numpy(zero_copy_only=False)
            heads[:, HEADER.size + index // 8] |= nulls.astype(np.uint8) << (index % 8)
        if index in layout.variable:
            text = column.cast(pa.large_binary()).fill_null(b"")
            end = end + pc.binary_length(text).to_numpy().astype(np.uint32)
            texts.append(text)
            _put(heads, layout.offsets[index], end)
        else:
            _put(heads, layout.offsets[index], _numbers(column, feature.dtype))
    if not texts:
        return _rows_of_bytes(heads)
    return _joined([pa.array(_rows_of_bytes(heads), pa.large_binary()), *texts])


def packed_keys(prefix: bytes, view: ViewPlan, rows: pa.Table) -> list[bytes]:
    """One Redis key per row of `typed_rows`; rows must have no null in a join key."""
    check_key_types(view)
    parts: list[pa.Array | bytes] = [prefix + b"{"]
    for key in view.join_keys:
        column = _array(rows[key.name])
        if key.dtype == "unix_timestamp":
            column = column.cast(pa.int64())
        text = column if key.dtype in ("string", "bytes") else column.cast(pa.large_string())
        text = text.cast(pa.large_binary())
        length = pc.binary_length(text).cast(pa.large_string()).cast(pa.large_binary())
        parts += [KEY_LETTERS[key.dtype].encode(), length, b":", text]
    if not view.join_keys:
        return [prefix + b"{}"] * rows.num_rows
    return _joined([*parts, b"}"])


def _typed(column: pa.ChunkedArray, feature: Feature) -> pa.ChunkedArray:
    found, target = column.type, ARROW_TYPES[feature.dtype]
    if pa.types.is_dictionary(found):
        return _typed(column.cast(found.value_type), feature)
    if not _is_compatible(found, feature.dtype):
        raise InvalidDataError(
            f"Column {feature.name!r} has type {found}, where {feature.dtype} belongs"
            f"{' (a timestamp needs a time zone)' if pa.types.is_timestamp(found) else ''}. Correct the source.",
            field=feature.name,
        )
    try:
        # Nanoseconds are cut to microseconds; every other cast that would lose something is refused.
        return column.cast(target, safe=not pa.types.is_timestamp(found))
    except pa.ArrowInvalid as problem:
        raise InvalidDataError(
            f"Column {feature.name!r} does not fit {feature.dtype}: {problem}. Correct the source.", field=feature.name
        ) from problem


def _is_compatible(found: pa.DataType, dtype: str) -> bool:
    if pa.types.is_null(found):
        return True
    if dtype in ("float64", "float32"):
        return bool(pa.types.is_floating(found) or pa.types.is_integer(found))
    if dtype in ("int64", "int32"):
        return bool(pa.types.is_integer(found))
    if dtype == "unix_timestamp":
        return bool(pa.types.is_timestamp(found)) and found.tz is not None
    if dtype == "bool":
        return bool(pa.types.is_boolean(found))
    if dtype == "string":
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))
    return bool(pa.types.is_binary(found) or pa.types.is_large_binary(found) or pa.types.is_binary_view(found))


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _int64(column: pa.ChunkedArray) -> Numbers:
    return np.asarray(_array(column).cast(pa.int64()))


def _numbers(column: pa.Array, dtype: str) -> Numbers:
    """Values as they lie in a record, zero for null."""
    if dtype == "bool":
        return np.asarray(column.fill_null(False)).astype(np.uint8)
    if dtype == "unix_timestamp":
        column = column.cast(pa.int64())
    return np.asarray(column.fill_null(0))


def _put(heads: NDArray[np.uint8], offset: int, values: Numbers) -> None:
    width = values.dtype.itemsize
    little_endian = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    heads[:, offset : offset + width] = little_endian.view(np.uint8).reshape(-1, width)


def _rows_of_bytes(heads: NDArray[np.uint8]) -> list[bytes]:
    data, width = heads.tobytes(), heads.shape[1]
    return [data[start : start + width] for start in range(0, len(data), width)]


def _joined(parts: Sequence[pa.Array | bytes]) -> list[bytes]:
    """Row by row the concatenation of columns without nulls and constants."""
    columns = [pa.scalar(part, pa.large_binary()) if isinstance(part, bytes) else part for part in (*parts, b"")]
    array = pc.binary_join_element_wise(*columns)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64, count=len(array) + 1, offset=array.offset * 8).tolist()
    content = data.to_pybytes() if data is not None else b""
    return [content[start:end] for start, end in pairwise(ends)]
