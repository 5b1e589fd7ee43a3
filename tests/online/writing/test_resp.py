import hiredis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.online.writing.resp import packed_commands


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=12),
    st.integers(0, 3),
    st.integers(1, 5),
)
def test_commands_have_the_bytes_that_hiredis_makes(rows: list[tuple[bytes, bytes]], skipped: int, size: int) -> None:
    columns = [pa.array([row[place] for row in rows], pa.large_binary())[skipped:] for place in range(2)]

    made = [b"".join(command) for command in packed_commands(b"MSET", *columns, size=size)]

    left = rows[skipped:]
    parts = [left[start : start + size] for start in range(0, len(left), size)]
    assert made == [hiredis.pack_command((b"MSET", *(value for row in part for value in row))) for part in parts]


@pytest.mark.parametrize("size", [9, 10, 99, 100, 65_536])
def test_lengths_of_any_number_of_digits_are_told(size: int) -> None:
    column = pa.array([b"x" * size], pa.large_binary())

    (command,) = packed_commands(b"SADD", column, size=1)

    assert b"".join(command) == hiredis.pack_command((b"SADD", b"x" * size))
