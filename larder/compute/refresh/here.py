"""A refresh in this process: for what one task would do alone, Spark need not start."""

import pyarrow as pa
from deltalake import DeltaTable

from larder.compute.definition import WindowDefinition
from larder.compute.refresh.corrections import Run
from larder.compute.refresh.gold_files import FILES
from larder.compute.refresh.inputs import Inputs
from larder.compute.refresh.task import gold_schema, written
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.retrieval.conditions import Between
from larder.offline.retrieval.reading import instant_of
from larder.offline.tables.delta_table import scanned
from larder.offline.tables.kinds import without_views


def written_here(definition: WindowDefinition, run: Run, inputs: Inputs, gold: str) -> pa.Table:
    """The file that was written, if any, with the schema FILES."""
    events, stored = _events(definition, run, inputs), _stored(definition, run, inputs)
    return pa.Table.from_batches(written(events, stored, definition, run, gold), FILES)


def _events(definition: WindowDefinition, run: Run, inputs: Inputs) -> pa.Table:
    column = inputs.source.column
    names = dict.fromkeys((*definition.keys, definition.timestamp, *definition.columns))
    stored = {name: column(name) for name in names}
    rows = _rows(inputs.events, list(stored.values()), column(definition.timestamp), inputs.events_from, run.until)
    return pa.table([rows[name] for name in stored.values()], list(stored))


def _stored(definition: WindowDefinition, run: Run, inputs: Inputs) -> pa.Table:
    schema = gold_schema(definition)
    if inputs.stored is None:
        return schema.empty_table()
    return _rows(inputs.stored, schema.names, EVENT_TIMESTAMP, inputs.gold_from, run.until).cast(schema)


def _rows(table: DeltaTable, columns: list[str], time: str, since: int | None, until: int) -> pa.Table:
    low, high = None if since is None else instant_of(since), instant_of(until)
    within = None if high is None else Between(time, low, high).sql()
    stored = pa.schema(table.schema().to_arrow())
    columns = list(dict.fromkeys(columns))
    schema = pa.schema([(name, without_views(stored.field(name).type)) for name in columns])
    batches = [batch.select(columns).cast(schema) for batch in scanned(table, columns, within)]
    return pa.Table.from_batches(batches, schema)
