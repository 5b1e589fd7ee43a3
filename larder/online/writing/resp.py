"""Commands as Redis reads them (RESP), straight from columns: no Python object per value, no copy per command."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from larder.online.server.many_keys import Packed


def packed_commands(name: bytes, *columns: pa.LargeBinaryArray, size: int) -> Iterator[Packed]:
    """The command `name` for every `size` rows, whose values are its arguments, row by row; made when asked for."""
    for start in range(0, len(columns[0]), size):
        part = [column[start : start + size] for column in columns]
        head = b"*%d\r\n$%d\r\n%b\r\n" % (1 + len(part[0]) * len(part), len(name), name)
        yield head, memoryview(_joined_rows(part).buffers()[2])


def _joined_rows(columns: Sequence[pa.LargeBinaryArray]) -> pa.LargeBinaryArray:
    parts: list[pa.Array | pa.Scalar] = []
    for column in columns:
        parts += [_constant(b"$"), _digits(pc.binary_length(column)), _constant(b"\r\n"), column, _constant(b"\r\n")]
    return pc.binary_join_element_wise(*parts, _constant(b""))


def _constant(text: bytes) -> pa.Scalar:
    return pa.scalar(text, pa.large_binary())


def _digits(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.large_string()).cast(pa.large_binary())
