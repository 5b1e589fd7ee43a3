"""Rows of a Delta table as one Arrow table, for tables that fit into memory or are asked for in part."""

from collections.abc import Sequence

import pyarrow as pa
from deltalake import DeltaTable

from larder.offline.conditions import Between
from larder.offline.tables.delta_table import reading
from larder.offline.tables.kinds import in_utc, plain


def rows_of(table: DeltaTable, columns: Sequence[str] | None = None, where: Sequence[Between] = ()) -> pa.Table:
    """The rows of an opened table that fulfil all conditions, in no particular order; times are UTC microseconds.

    `columns` that the table lacks are left out. Raises what `reading` raises.
    """
    stored = pa.schema(table.schema().to_arrow())
    names = [name for name in (stored.names if columns is None else dict.fromkeys(columns)) if name in stored.names]
    schema = pa.schema([(name, in_utc(plain(stored.field(name).type))) for name in names])
    predicate = " AND ".join(bounds.sql() for bounds in where) or None
    with reading(table):
        return pa.table(table.scan(columns=names, predicate=predicate)).select(names).cast(schema)
