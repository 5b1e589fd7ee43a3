"""Arrow columns to packed records and Redis keys, a whole batch at a time."""

from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.contracts.plan import Feature, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.kinds import INSTANT
from larder.online.packed.arrow_types import fitted
from larder.online.packed.cells import column_of, number_type, numbers, packed_cells
from larder.online.packed.keys import KEY_LETTERS, check_key_types
from larder.online.packed.record import CHECKSUM, HEADER, MAX_BYTES, STAMP_OFFSETS, Layout
from larder.online.packed.types import FIXED_CODES

__all__ = ["INSTANT", "packed_keys", "packed_records", "typed_rows"]


def typed_rows(view: ViewPlan, rows: pa.Table) -> pa.Table:
    """The columns of `rows` that a record needs: keys and features of fixed width in the types of the view, other
    features as the bytes that a record holds.

    A null or absent known_at becomes the event timestamp. Raises MissingColumnsError, or InvalidDataError with the
    column's name, for anything that cannot be stored: what comes back can be packed.
    """
    needed = [*view.join_keys, *view.features, Feature(EVENT_TIMESTAMP, "unix_timestamp")]
    missing = [feature.name for feature in needed if feature.name not in rows.column_names]
    if missing:
        raise MissingColumnsError(
            f"Rows for view {view.name!r} lack {missing}; they have {rows.column_names}. Add them to the source."
        )
    columns = {feature.name: fitted(rows[feature.name], feature) for feature in needed}
    cells = {
        feature.name: packed_cells(columns[feature.name], feature)
        for feature in view.features
        if feature.dtype not in FIXED_CODES
    }
    _refuse_oversized(view, cells)
    if columns[EVENT_TIMESTAMP].null_count:
        raise InvalidDataError(
            f"Rows for view {view.name!r} have no {EVENT_TIMESTAMP} in {columns[EVENT_TIMESTAMP].null_count} places. "
            "Every value needs the instant that it describes.",
            field=EVENT_TIMESTAMP,
        )
    known_at = columns[EVENT_TIMESTAMP]
    if KNOWN_AT in rows.column_names:
        known_at = pc.coalesce(fitted(rows[KNOWN_AT], Feature(KNOWN_AT, "unix_timestamp")), known_at)
    return pa.table(columns | cells | {KNOWN_AT: known_at})


def packed_records(layout: Layout, rows: pa.Table) -> pa.LargeBinaryArray:
    """One record per row of `typed_rows`."""
    heads = np.zeros((rows.num_rows, layout.fixed_size), np.uint8)
    heads[:, : len(layout.prefix)] = np.frombuffer(layout.prefix, np.uint8)
    for name, offset in STAMP_OFFSETS.items():
        column_of(heads, offset, np.dtype("<i8"))[:] = numbers(_array(rows[name]))
    end = np.zeros(rows.num_rows, "<u4")
    cells = []
    for index, feature in enumerate(layout.view.features):
        column = _array(rows[feature.name])
        if column.null_count:
            nulls = pc.is_null(column).to_numpy(zero_copy_only=False)
            heads[:, HEADER.size + index // 8] |= nulls.astype(np.uint8) << (index % 8)
        if index in layout.variable:
            cell = column.fill_null(b"")
            end = end + pc.binary_length(cell).to_numpy().astype("<u4")
            cells.append(cell)
            column_of(heads, layout.offsets[index], end.dtype)[:] = end
        else:
            column_of(heads, layout.offsets[index], number_type(feature.dtype))[:] = numbers(column)
    bodies = _of_one_width(heads)
    return _sealed(_joined([bodies, *cells]) if cells else bodies)


def packed_keys(prefix: bytes, view: ViewPlan, rows: pa.Table) -> pa.LargeBinaryArray:
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
        return pa.array([prefix + b"{}"] * rows.num_rows, pa.large_binary())
    return _joined([*parts, b"}"])


def _refuse_oversized(view: ViewPlan, cells: Mapping[str, pa.ChunkedArray]) -> None:
    if not cells:
        return
    sizes = {name: pc.binary_length(column).fill_null(0).to_numpy() for name, column in cells.items()}
    total = np.sum(list(sizes.values()), axis=0) + Layout(view).fixed_size + CHECKSUM.size
    if len(total) and total.max() > MAX_BYTES:
        row = int(total.argmax())
        largest = max(sizes, key=lambda name: int(sizes[name][row]))
        raise InvalidDataError(
            f"Row {row} for view {view.name!r} makes a record of {total[row]:,} bytes, {sizes[largest][row]:,} of them "
            f"in {largest!r}; a record may have {MAX_BYTES:,}. Shorten the value, or keep a reference to it instead.",
            field=largest,
        )


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _of_one_width(rows: NDArray[np.uint8]) -> pa.LargeBinaryArray:
    """Each row of the matrix as one value."""
    ends = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(rows), buffers)


def _sealed(bodies: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """Each followed by its checksum."""
    checksums = np.fromiter(map(crc32, bodies.to_pylist()), "<u4", len(bodies))
    return _joined([bodies, _of_one_width(checksums.view(np.uint8).reshape(-1, CHECKSUM.size))])


def _joined(parts: Sequence[pa.Array | bytes]) -> pa.LargeBinaryArray:
    """Row by row the concatenation of columns without nulls and constants."""
    columns = [pa.scalar(part, pa.large_binary()) if isinstance(part, bytes) else part for part in (*parts, b"")]
    return pc.binary_join_element_wise(*columns)
