"""Composite keys as integers: order and equality without comparing strings again and again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KeyRanks:
    """Keys of some tables, numbered in ascending order of their columns."""

    distinct: pa.Table
    """The keys; row r is the key of rank r."""
    count: int
    """Of the keys; without key columns there is one."""
    of: tuple[Integers, ...]
    """Per table, the rank of each row's key."""


def key_ranks(tables: Sequence[pa.Table], keys: Sequence[str]) -> KeyRanks:
    """Number the keys that occur in `tables`. No key column may hold a null."""
    rows = pa.concat_tables([table.select(keys) for table in tables])
    ends = np.cumsum([table.num_rows for table in tables])
    codes = np.zeros(ends[-1], dtype=np.int64)
    for key in keys:
        column = value_ranks(rows[key])
        # Dense again after each column, so that the product of many columns cannot overflow.
        codes = np.unique(codes * (column.max(initial=0) + 1) + column, return_inverse=True)[1]
    _, first, ranks = np.unique(codes, return_index=True, return_inverse=True)
    return KeyRanks(rows.take(first), len(first), tuple(np.split(ranks, ends[:-1])))


def value_ranks(values: pa.ChunkedArray) -> Integers:
    """Rank of each value among the distinct ones, ascending. `values` holds no null."""
    plain = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
    encoded = plain.combine_chunks().dictionary_encode()
    ranks: Integers = pc.rank(encoded.dictionary).to_numpy().astype(np.int64) - 1
    return np.asarray(ranks[encoded.indices.to_numpy()])
