"""What stored rows must fulfil to be read: bounds that SQL, Arrow and file statistics can all check."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from larder.offline.history import History
from larder.offline.tables.kinds import INSTANT, plain


@dataclass(frozen=True)
class Between:
    """A column's value within two bounds, both included; without `low` anything up to `high`."""

    column: str
    low: object | None
    high: object

    def sql(self) -> str:
        column = '"' + self.column.replace('"', '""') + '"'
        condition = f"{column} <= {_literal(self.high)}"
        return condition if self.low is None else f"{condition} AND {column} >= {_literal(self.low)}"

    def mask(self, rows: pa.Table) -> pa.ChunkedArray:
        values = rows[self.column].cast(plain(rows[self.column].type))
        low, high = (_scalar(bound, values.type) for bound in (self.low, self.high))
        is_below = pc.less_equal(values, high)
        return is_below if self.low is None else pc.and_(is_below, pc.greater_equal(values, low))


@dataclass(frozen=True)
class AnyOf:
    """At least one of several bounds, for reading from Delta tables; none is fulfilled by no row."""

    bounds: tuple[Between, ...]

    def sql(self) -> str:
        return f"({' OR '.join(f'({bounds.sql()})' for bounds in self.bounds) or 'false'})"


def time_range(history: History, *, since: datetime | None = None, until: datetime) -> Between:
    """Rows with an event timestamp within the bounds."""
    return Between(history.column(history.event_timestamp), since, until)


def key_range(history: History, low: object, high: object) -> Between:
    """Rows whose only key, a whole number or text, lies within the bounds."""
    return Between(history.column(history.keys[0]), low, high)


def fulfilling(rows: pa.Table, where: Iterable[Between]) -> pa.Table:
    for bounds in where:
        mask = bounds.mask(rows)
        if mask.null_count or not pc.all(mask).as_py():
            rows = rows.filter(mask)
    return rows


def _scalar(value: object, dtype: pa.DataType) -> pa.Scalar:
    """To be compared with values of the type; Arrow by itself takes a number for one of 63 bits."""
    return pa.scalar(value, INSTANT if isinstance(value, datetime) else dtype)


def _literal(value: object) -> str:
    if isinstance(value, datetime):
        # As an integer: a timestamp that is written out goes through nanoseconds, which end in the year 2262.
        micros = pa.scalar(value, INSTANT).cast(pa.int64()).as_py()
        return f"""arrow_cast({micros}, 'Timestamp(Microsecond, Some("UTC"))')"""
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
