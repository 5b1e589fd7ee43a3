"""Entity rows as they come from users: pandas, polars or anything that speaks Arrow, to Arrow."""

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.retrieval.request_checks import check_distinct_columns, check_zones
from larder.offline.tables.kinds import INSTANT


def request_table(entity_df: Any) -> pa.Table:
    """The request's rows, one per label, as an Arrow table with its columns unchanged."""
    if isinstance(entity_df, pa.Table):
        check_distinct_columns(entity_df.column_names)
        return entity_df
    if isinstance(entity_df, pl.LazyFrame):
        entity_df = entity_df.collect()
    if isinstance(entity_df, pl.DataFrame):
        return entity_df.to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(entity_df, pd.DataFrame):
        check_distinct_columns(list(entity_df.columns))
        try:
            rows = pa.Table.from_pandas(entity_df, preserve_index=False).replace_schema_metadata()
        except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
            raise InvalidDataError(
                f"The request has a column of mixed types: {problem}. Give each column one type."
            ) from problem
        check_zones(entity_df, rows)
        return rows if rows.num_rows else _with_instants(rows)
    if hasattr(entity_df, "__arrow_c_stream__"):
        return request_table(pa.table(entity_df))
    raise InvalidDataError(
        f"The request is a {type(entity_df).__name__}; give rows as a pandas, Arrow or polars table with the join "
        f"keys and {EVENT_TIMESTAMP!r}, or as SQL."
    )


def _with_instants(nothing: pa.Table) -> pa.Table:
    """A frame made of column names alone has no types; its event timestamps are instants nevertheless."""
    names = nothing.schema.names
    if EVENT_TIMESTAMP not in names or not pa.types.is_null(nothing.schema.field(EVENT_TIMESTAMP).type):
        return nothing
    return nothing.set_column(names.index(EVENT_TIMESTAMP), EVENT_TIMESTAMP, nothing[EVENT_TIMESTAMP].cast(INSTANT))


def instant_column(requests: pa.Table) -> str:
    """The column with the instants asked for: `event_timestamp`, else the only timestamp there is.

    Raises MissingColumnsError when there is no such column, InvalidDataError when it has no time zone or a null.
    """
    stamps = [column.name for column in requests.schema if pa.types.is_timestamp(column.type)]
    if EVENT_TIMESTAMP not in requests.column_names and len(stamps) != 1:
        raise MissingColumnsError(
            f"The request has no column {EVENT_TIMESTAMP!r}, and of its columns {requests.column_names} {len(stamps)} "
            f"are timestamps. Name the instants of the rows {EVENT_TIMESTAMP!r}."
        )
    name = EVENT_TIMESTAMP if EVENT_TIMESTAMP in requests.column_names else stamps[0]
    check_instants(requests, name)
    if requests[name].null_count:
        raise InvalidDataError(
            f"{requests[name].null_count} of {requests.num_rows} request rows have no {name!r}; an as-of join needs "
            "an instant in each. Drop these rows or fill them in."
        )
    return name


def check_instants(requests: pa.Table, name: str) -> None:
    """Raise InvalidDataError when column `name` is not a timestamp with a time zone."""
    dtype = requests.schema.field(name).type
    if not pa.types.is_timestamp(dtype) or dtype.tz is None:
        raise InvalidDataError(
            f"Column {name!r} of the request is {dtype}, but an instant needs a timestamp with a time zone. "
            "Convert it, for example with pandas' to_datetime(..., utc=True)."
        )
