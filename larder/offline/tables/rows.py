"""Rows of a Delta table as Arrow data: one table, where that fits into memory, or batches."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from deltalake import DeltaTable

from larder.offline.retrieval.conditions import AnyOf, Between
from larder.offline.tables.delta_table import scanned
from larder.offline.tables.kinds import in_utc, plain


def rows_of(table: DeltaTable, columns: Sequence[str] | None = None, where: Sequence[Between | AnyOf] = ()) -> pa.Table:
    """The rows of an opened table that fulfil all conditions, in no particular order; times are UTC microseconds.

    `columns` that the table lacks are left out. Raises what `reading` raises.
    """
    return pa.Table.from_batches(batches_of(table, columns, where), plain_schema(table, columns))


def batches_of(
    table: DeltaTable, columns: Sequence[str] | None = None, where: Sequence[Between | AnyOf] = ()
) -> Iterator[pa.RecordBatch]:
    """As `rows_of`, one batch after the other, so that a reader need not hold all of them."""
    schema = plain_schema(table, columns)
    predicate = " AND ".join(condition.sql() for condition in where) or None
    for batch in scanned(table, schema.names, predicate):
        # Cast at once: what the scan decoded is let go before the next batch comes.
        yield batch.select(schema.names).cast(schema)


def plain_schema(table: DeltaTable, columns: Sequence[str] | None = None) -> pa.Schema:
    """Of `columns` that the table has, all by default, as `rows_of` returns them."""
    stored = pa.schema(table.schema().to_arrow())
    names = [name for name in (stored.names if columns is None else dict.fromkeys(columns)) if name in stored.names]
    return pa.schema([(name, in_utc(plain(stored.field(name).type))) for name in names])
