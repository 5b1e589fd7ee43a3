"""What in entity rows would be answered wrongly rather than refused."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import pyarrow as pa

from larder.contracts.errors import InvalidDataError


def check_distinct_columns(names: Sequence[object]) -> None:
    """Raise InvalidDataError when two columns of a request share a name."""
    twice = sorted(str(name) for name, times in Counter(names).items() if times > 1)
    if twice:
        raise InvalidDataError(
            f"The request has more than one column named {', '.join(map(repr, twice))}, so which one is meant is not "
            "known. Drop or rename all but one.",
            field=twice[0] if len(twice) == 1 else None,
        )


def check_zones(frame: pd.DataFrame, rows: pa.Table) -> None:
    """Raise InvalidDataError when a column mixes instants with and without a time zone.

    Arrow takes the zone of the first for all of them. `rows` is `frame` in Arrow.
    """
    for column in rows.schema:
        if pa.types.is_timestamp(column.type) and column.type.tz and frame[column.name].dtype == object:
            naive = [value for value in frame[column.name] if isinstance(value, datetime) and value.tzinfo is None]
            naive = [value for value in naive if not pd.isna(value)]
            if naive:
                raise InvalidDataError(
                    f"{len(naive)} of {len(frame)} values of column {column.name!r} of the request have no time zone, "
                    f"such as {naive[0].isoformat()}. Localize them, for example with tz_localize('UTC').",
                    field=column.name,
                )
