"""Columns of variable width to the bytes that a record holds, and back."""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import Feature
from larder.offline.tables.kinds import is_bytes
from larder.online.packed.arrow_types import arrow_type
from larder.online.packed.types import (
    BLOBS,
    FIXED_CODES,
    MAPS,
    RAW,
    TEXTS,
    cell_decoder,
    element_type,
)

LARGE = pa.large_binary()
_encode = msgspec.msgpack.Encoder().encode

Numbers = NDArray[Any]
Cells = list[bytes | None]


def packed_cells(column: pa.ChunkedArray, feature: Feature) -> pa.ChunkedArray:
    """`column` of `fitted` as large_binary, null where it is null.

    Raises InvalidDataError, naming the feature, for what MessagePack cannot hold.
    """
    try:
        return pa.chunked_array([_packed(chunk, feature.dtype) for chunk in column.chunks], LARGE)
    except (KeyError, ValueError, OverflowError) as problem:
        raise InvalidDataError(
            f"Column {feature.name!r} does not fit {feature.dtype}: {problem}. Correct the source.", field=feature.name
        ) from problem


def unpacked_cells(cells: Cells, dtype: str) -> pa.Array:
    """The values of one feature; the inverse of `packed_cells`. Raises ValueError for bytes that are no value."""
    kind, element = arrow_type(dtype), element_type(dtype)
    if dtype in (*TEXTS, *BLOBS):
        return pa.array(cells, LARGE).cast(kind)
    if element is not None and all(cell is None or cell.startswith(RAW) for cell in cells):
        return _unpacked_lists(cells, element)
    decode = cell_decoder(dtype)
    values = [None if cell is None else decode(cell) for cell in cells]
    if kind is not None:
        return pa.array(values, kind)
    try:
        return _map_array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array(cells, LARGE)


def numbers(column: pa.Array) -> Numbers:
    """Values of fixed width as they lie in a record, zero for null."""
    if pa.types.is_boolean(column.type):
        return np.asarray(column.fill_null(False)).astype(np.uint8)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = np.asarray(column.fill_null(0))
    return values.astype(values.dtype.newbyteorder("<"), copy=False)


def number_array(values: Numbers, dtype: str, nulls: NDArray[np.bool_] | None = None) -> pa.Array:
    """The inverse of `numbers`."""
    kind = arrow_type(dtype)
    if dtype == "bool":
        return pa.array(values != 0, kind, mask=nulls)
    array = pa.array(values.astype(values.dtype.newbyteorder("="), copy=False), mask=nulls)
    return array.cast(kind)


def number_type(dtype: str) -> np.dtype[Any]:
    """How a value of fixed width lies in a record."""
    return np.dtype("u1" if dtype == "bool" else "<" + FIXED_CODES[dtype])


def column_of(heads: NDArray[np.uint8], offset: int, kind: np.dtype[Any]) -> Numbers:
    """The numbers at `offset` of each row of bytes, to read or to set."""
    return heads[:, offset : offset + kind.itemsize].view(kind)[:, 0]


def _packed(chunk: pa.Array, dtype: str) -> pa.Array:
    if dtype in (*TEXTS, *BLOBS):
        return chunk.cast(LARGE)
    if element_type(dtype) is not None:
        return _packed_lists(chunk)
    if dtype in MAPS and is_bytes(chunk.type):
        decode = cell_decoder(dtype)
        return pa.array([None if cell is None else _encode(decode(cell)) for cell in chunk.to_pylist()], LARGE)
    values = chunk.to_pylist(maps_as_pydicts="strict")
    return pa.array([None if value is None else _encode(value) for value in values], LARGE)


def _packed_lists(column: pa.ListArray) -> pa.Array:
    """Elements as they lie in memory, without a loop in Python; a list with a null in it as MessagePack."""
    elements = column.flatten()
    content = numbers(elements)
    ends = np.cumsum(pc.list_value_length(column).fill_null(0).to_numpy(), dtype=np.int64)
    starts = np.concatenate([[0], ends]).astype(np.int64)
    buffers = [None, pa.py_buffer(starts * content.itemsize), pa.py_buffer(np.ascontiguousarray(content))]
    raw = pa.LargeBinaryArray.from_buffers(LARGE, len(column), buffers)
    marked = pc.binary_join_element_wise(pa.scalar(RAW, LARGE), raw, pa.scalar(b"", LARGE))
    cells = pc.if_else(column.is_valid(), marked, None)
    if not elements.null_count:
        return cells
    holes = np.flatnonzero(elements.is_null().to_numpy(zero_copy_only=False))
    rows = np.unique(np.searchsorted(starts, holes, side="right") - 1)
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    packed = [_encode(row) for row in column.take(rows).to_pylist()]
    return pc.replace_with_mask(cells, pa.array(mask), pa.array(packed, LARGE))


def _unpacked_lists(cells: Cells, element: str) -> pa.Array:
    kind = number_type(element)
    content = np.frombuffer(b"".join([cell[1:] for cell in cells if cell is not None]), kind)
    sizes = [0 if cell is None else len(cell) - 1 for cell in cells]
    if any(size % kind.itemsize for size in sizes):
        raise ValueError(f"a list of {element} has a part of an element")
    ends = np.cumsum([0, *sizes]) // kind.itemsize
    nulls = pa.array([cell is None for cell in cells], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), number_array(content, element), mask=nulls)


def _map_array(maps: list[dict[Any, Any] | None]) -> pa.Array:
    """Keys and items in the types that their values suggest."""
    present = [content for content in maps if content is not None]
    keys = pa.array([key for content in present for key in content])
    items = pa.array([item for content in present for item in content.values()])
    sizes = [0 if content is None else len(content) for content in maps]
    starts = np.cumsum([0, *sizes]).tolist()
    offsets = [None if content is None else start for content, start in zip(maps, starts[:-1], strict=True)]
    return pa.MapArray.from_arrays(pa.array([*offsets, starts[-1]], pa.int32()), keys, items)
