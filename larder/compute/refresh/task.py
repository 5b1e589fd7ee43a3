"""What each Spark task runs: all rows of some keys in, a file of the rows that gold lacks out. Imports no Spark and
no Feast.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from larder.compute.definition import WindowDefinition
from larder.compute.refresh.corrections import Run, missing_rows
from larder.compute.refresh.gold_files import write_file
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.kinds import INSTANT


def refresh_task(
    definition: WindowDefinition, run: Run, gold: str, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """All rows of some keys in: events and, marked by their column, rows of the table `gold`. Out what `write_file`
    says of the file, if there is anything to write.
    """
    received = list(batches)
    if not received:
        return
    rows = pa.Table.from_batches(received)
    events = _unpacked(rows, "event", definition)
    has_gold = "gold" in rows.column_names
    stored = _unpacked(rows, "gold", definition) if has_gold else gold_schema(definition).empty_table()
    yield from written(events, stored, definition, run, gold)


def written(
    events: pa.Table, stored: pa.Table, definition: WindowDefinition, run: Run, gold: str
) -> list[pa.RecordBatch]:
    """What `write_file` says of the file with the rows that gold lacks; empty where it lacks none.

    The arguments are those of `missing_rows`, and the place of gold.
    """
    missing = missing_rows(events, stored, definition, run)
    return [write_file(missing.cast(gold_schema(definition)), gold)] if missing.num_rows else []


def _unpacked(rows: pa.Table, side: str, definition: WindowDefinition) -> pa.Table:
    rows = rows.filter(rows[side].is_valid())
    fields = pa.Table.from_struct_array(rows[side].combine_chunks())
    keys = {name: rows[name] for name in definition.keys}
    return pa.table(keys | dict(zip(fields.column_names, fields.columns, strict=True)))


def gold_schema(definition: WindowDefinition) -> pa.Schema:
    times = [(EVENT_TIMESTAMP, INSTANT), (KNOWN_AT, INSTANT)]
    return pa.schema([*definition.keys.items(), *times, *((item.name, item.dtype) for item in definition.features)])
