"""What each Spark task runs: all rows of some keys in, the rows that gold lacks out. Imports no Spark and no Feast."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from larder.compute.corrections import Run, missing_rows
from larder.compute.definition import INSTANT, WindowDefinition
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT

ROWS_PER_BATCH = 100_000


def refresh_task(definition: WindowDefinition, run: Run, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All rows of some keys: events and, marked by their column, rows of gold."""
    received = list(batches)
    if not received:
        return
    rows = pa.Table.from_batches(received)
    events = _unpacked(rows, "event", definition)
    has_gold = "gold" in rows.column_names
    gold = _unpacked(rows, "gold", definition) if has_gold else gold_schema(definition).empty_table()
    yield from missing_rows(events, gold, definition, run).to_batches(max_chunksize=ROWS_PER_BATCH)


def _unpacked(rows: pa.Table, side: str, definition: WindowDefinition) -> pa.Table:
    rows = rows.filter(rows[side].is_valid())
    fields = pa.Table.from_struct_array(rows[side].combine_chunks())
    keys = {name: rows[name] for name in definition.keys}
    return pa.table(keys | dict(zip(fields.column_names, fields.columns, strict=True)))


def gold_schema(definition: WindowDefinition) -> pa.Schema:
    times = [(EVENT_TIMESTAMP, INSTANT), (KNOWN_AT, INSTANT)]
    return pa.schema([*definition.keys.items(), *times, *((item.name, item.dtype) for item in definition.features)])
