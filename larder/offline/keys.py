"""Join keys as small integers, compared as typed columns and never as joined text."""

from collections.abc import Sequence

import polars as pl

from larder.contracts.errors import InvalidDataError

_LARGEST_EXACT_FLOAT = 2**53


def key_ids(
    requests: pl.DataFrame, rows: pl.DataFrame, keys: Sequence[str], *, table: str
) -> tuple[pl.Series, pl.Series]:
    """One number per key, the same in both frames.

    Null where a part of the key is null and, in `rows`, where no request names the key.
    Raises InvalidDataError when a key's type in `requests` cannot be compared with the one in `table`.
    """
    past = [_plain(rows[name]) for name in keys]
    asked = [_as_type(_plain(requests[name]), key.dtype, table) for name, key in zip(keys, past, strict=True)]
    numbers = _numbers(asked)
    return _numbered(asked, numbers, requests.height), _numbered(past, numbers, rows.height)


def own_key_ids(rows: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    """One number per key of `rows`; null where a part of the key is null."""
    past = [_plain(rows[name]) for name in keys]
    return _numbered(past, _numbers(past), rows.height)


def _numbers(keys: Sequence[pl.Series]) -> pl.DataFrame:
    return _positional(keys).unique().with_row_index("id")


def _numbered(keys: Sequence[pl.Series], numbers: pl.DataFrame, height: int) -> pl.Series:
    if not keys:  # a view without entities has one key
        return pl.zeros(height, pl.UInt32, eager=True)
    frame = _positional(keys)
    return frame.join(numbers, on=frame.columns, how="left", maintain_order="left")["id"]


def _positional(keys: Sequence[pl.Series]) -> pl.DataFrame:
    """Columns named by position, so that no join key can be called `id`."""
    return pl.DataFrame({f"key_{position}": key for position, key in enumerate(keys)})


def _plain(key: pl.Series) -> pl.Series:
    """Dictionary-encoded text as text."""
    return key.cast(pl.String) if isinstance(key.dtype, pl.Categorical | pl.Enum) else key


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
