"""Join keys as small integers, compared as typed columns and never as joined text."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from larder.contracts.errors import InvalidDataError

Integers: TypeAlias = npt.NDArray[np.int64]

NONE = -1
"""Stands for a key with a null part and for one that no request names."""

_LARGEST_EXACT_FLOAT = 2**53
_WIDEST_DENSE = 4_000_000
"""Entries of a lookup table that still fits into a processor's cache, more or less."""


class RequestKeys:
    """The different keys of some requests, numbered from 0.

    Raises InvalidDataError when a key's type in the request cannot be compared with the one in `table`.
    """

    def __init__(self, requests: pl.DataFrame, keys: Sequence[str], stored: pl.Schema, *, table: str) -> None:
        self.keys = tuple(keys)
        asked = _positional([_as_type(_plain(requests[name]), _plain_dtype(stored[name]), table) for name in keys])
        # Sorted, so that numbers do not depend on threads: they decide in which order rows are looked at.
        distinct = asked.drop_nulls().unique().sort(asked.columns)
        self.range = None if distinct.width != 1 or distinct.is_empty() else (distinct.item(0, 0), distinct.item(-1, 0))
        """Least and greatest key, where a key is one column with an order; None otherwise."""
        self._count = distinct.height if self.keys else 1  # a view without entities has one key
        self._numbers = _DenseNumbers.made(distinct) or _HashedNumbers(distinct)
        self.of_requests = self._numbered(asked, requests.height)
        """Number of each request's key."""

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, object]:
        """What a task needs to number rows: the request travels to each of them."""
        return {name: value for name, value in self.__dict__.items() if name != "of_requests"}

    def of(self, rows: pl.DataFrame) -> Integers:
        """Number of each row's key."""
        return self._numbered(_positional([_plain(rows[name]) for name in self.keys]), rows.height)

    def _numbered(self, keys: pl.DataFrame, height: int) -> Integers:
        if not self.keys:
            return np.zeros(height, dtype=np.int64)
        return self._numbers.of(keys)


class _HashedNumbers:
    """Numbers of keys of any type."""

    def __init__(self, distinct: pl.DataFrame) -> None:
        self._distinct = distinct.with_row_index("id")

    def of(self, keys: pl.DataFrame) -> Integers:
        numbers = keys.join(self._distinct, on=keys.columns, how="left", maintain_order="left")["id"]
        ids: Integers = numbers.cast(pl.Int64).fill_null(NONE).to_numpy()
        return ids


class _DenseNumbers:
    """Numbers of whole keys that lie close together: a table look-up, several times faster than a hash."""

    def __init__(self, values: Integers) -> None:
        self._low, self._high = int(values[0]), int(values[-1])
        # Of 32 bits, so that more of the table is in the processor's cache.
        self._numbers = np.full(self._high - self._low + 2, NONE, np.int32)
        self._numbers[values - self._low] = np.arange(len(values))

    @classmethod
    def made(cls, distinct: pl.DataFrame) -> "_DenseNumbers | None":
        if distinct.width != 1 or distinct.is_empty():
            return None
        key = distinct["key_0"]
        if not key.dtype.is_integer() or key.dtype == pl.UInt64 or key[-1] - key[0] > _WIDEST_DENSE:
            return None
        return cls(key.cast(pl.Int64).to_numpy())

    def of(self, keys: pl.DataFrame) -> Integers:
        values = keys["key_0"].cast(pl.Int64)
        # As unsigned, a key below the table lies beyond it, too: the last entry is for both.
        places = (values.fill_null(self._low).to_numpy() - self._low).view(np.uint64)
        numbers = self._numbers.take(np.minimum(places, len(self._numbers) - 1).view(np.int64)).astype(np.int64)
        return np.where(values.is_null().to_numpy(), NONE, numbers) if values.null_count() else numbers


def _positional(keys: Sequence[pl.Series]) -> pl.DataFrame:
    """Columns named by position, so that no join key can be called `id`."""
    return pl.DataFrame({f"key_{position}": key for position, key in enumerate(keys)})


def _plain(key: pl.Series) -> pl.Series:
    """Dictionary-encoded text as text."""
    return key.cast(_plain_dtype(key.dtype))


def _plain_dtype(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if isinstance(dtype, pl.Categorical | pl.Enum) else dtype


def _as_type(key: pl.Series, dtype: pl.DataType, table: str) -> pl.Series:
    """`key` in the table's type; values that this type cannot hold become null, for no row can equal them."""
    if key.dtype == dtype:
        return key
    if key.dtype == pl.Null or (key.dtype.is_integer() and dtype.is_integer()):
        return key.cast(dtype, strict=False)
    if key.dtype.is_float() and dtype.is_integer() and _is_whole(key):  # pandas' integers beside a missing one
        return key.fill_nan(None).cast(dtype, strict=False)
    raise InvalidDataError(
        f"Join key {key.name!r} is {key.dtype} in the request and {dtype} in {table}; the two cannot be compared "
        f"without loss. Cast the request's column to {dtype}."
    )


def _is_whole(key: pl.Series) -> bool:
    numbers = key.fill_nan(None).drop_nulls()
    return bool(((numbers == numbers.round()) & (numbers.abs() <= _LARGEST_EXACT_FLOAT)).all())
