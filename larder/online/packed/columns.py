"""Many packed records to Arrow columns, without a loop in Python over features of fixed width."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from larder.online.packed.cells import column_of, number_array, number_type, unpacked_cells
from larder.online.packed.record import CHECKSUM, HEADER, STAMP_OFFSETS, WHOLE, Layout

Heads = NDArray[np.uint8]
"""The bytes before the cells, one row per record."""


def decoded_columns(layout: Layout, records: Sequence[bytes | None]) -> dict[str, pa.Array]:
    """Per feature of the view, then event_timestamp and known_at, one value per record; null where there is none.

    The types are those of the offline join. Raises what `Layout.decode` raises.
    """
    found = [record for record in records if record is not None]
    try:
        columns = _columns(layout, found)
    except (ValueError, TypeError, OverflowError, RecursionError):
        for record in found:
            layout.decode(record)
        raise layout.refusal(b"".join(found[:1])) from None
    if len(found) == len(records):
        return columns
    absent = np.array([record is None for record in records])
    places = pa.array(np.cumsum(~absent) - 1, mask=absent)
    return {name: column.take(places) for name, column in columns.items()}


def _columns(layout: Layout, records: Sequence[bytes]) -> dict[str, pa.Array]:
    """ValueError for bytes that are no whole record of this layout."""
    if any(crc32(record) != WHOLE for record in records):
        raise ValueError
    heads = _heads(layout, records)
    bitmaps = heads[:, HEADER.size : HEADER.size + layout.bitmap_size]
    nulls = np.unpackbits(bitmaps, axis=1, bitorder="little").view(bool)
    start, columns = np.zeros(len(records), np.int64), {}
    for index, feature in enumerate(layout.view.features):
        if index in layout.variable:
            end = column_of(heads, layout.offsets[index], np.dtype("<u4")).astype(np.int64)
            columns[feature.name] = unpacked_cells(_cells(layout, records, start, end, nulls[:, index]), feature.dtype)
            start = end
        else:
            values = column_of(heads, layout.offsets[index], number_type(feature.dtype))
            columns[feature.name] = number_array(values, feature.dtype, nulls[:, index])
    lengths = np.fromiter(map(len, records), np.int64, len(records))
    if (start + layout.fixed_size + CHECKSUM.size != lengths).any() or nulls[:, len(layout.view.features) :].any():
        raise ValueError
    return columns | {
        name: number_array(column_of(heads, offset, np.dtype("<i8")), "unix_timestamp")
        for name, offset in STAMP_OFFSETS.items()
    }


def _heads(layout: Layout, records: Sequence[bytes]) -> Heads:
    size = layout.fixed_size
    data = b"".join([record[:size] for record in records])
    if len(data) != size * len(records):
        raise ValueError
    heads = np.frombuffer(data, np.uint8).reshape(-1, size)
    if (heads[:, : len(layout.prefix)] != np.frombuffer(layout.prefix, np.uint8)).any():
        raise ValueError
    return heads


def _cells(
    layout: Layout, records: Sequence[bytes], start: NDArray[np.int64], end: NDArray[np.int64], nulls: NDArray[np.bool_]
) -> list[bytes | None]:
    if (end < start).any() or (end[nulls] != start[nulls]).any():
        raise ValueError
    ranges = zip(records, (start + layout.fixed_size).tolist(), (end + layout.fixed_size).tolist(), nulls, strict=True)
    return [None if is_null else record[first:last] for record, first, last, is_null in ranges]
