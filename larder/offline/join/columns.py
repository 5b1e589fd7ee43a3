"""Columns of Arrow tables as the join computes with them."""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from larder.contracts.errors import InvalidDataError


def frame(table: pa.Table, columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table.select(columns)))


def microseconds(instants: pl.Series) -> pl.Series:
    """Since 1970, UTC; finer parts are cut off. Raises InvalidDataError for a column without a time zone."""
    if not isinstance(instants.dtype, pl.Datetime) or instants.dtype.time_zone is None:
        raise InvalidDataError(
            f"Column {instants.name!r} is {instants.dtype}, but an instant needs a timestamp with a time zone. "
            "Say which zone it is in, for example with dt.tz_localize('UTC') in pandas."
        )
    return instants.dt.cast_time_unit("us").to_physical()
