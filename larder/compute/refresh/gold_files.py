"""The files of a gold table: each task writes its own, and one commit makes all of them part of the table.

Spark's writer would take the rows, which are Arrow already, apart and together again; that costs more than computing
them. Gold has one writing engine, delta-rs. Files of a task that failed, or of a run that was killed, belong to no
version; VACUUM removes them.
"""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from larder.contracts.errors import LarderError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.gold import GoldPosition, encoded
from larder.offline.tables.parquet import filesystem_of

FILES = pa.schema([("path", pa.string()), ("size", pa.int64()), ("rows", pa.int64()), ("stats", pa.string())])
"""What the commit needs to know of each file; paths are relative to the table."""

APPLICATION = "larder.compute"


def write_file(rows: pa.Table, gold: str, *, rows_per_group: int | None = None) -> pa.RecordBatch:
    """Write rows into a new file in the folder of the table; what `commit_files` needs of it, with the schema FILES."""
    filesystem, folder = filesystem_of(gold, {})
    filesystem.create_dir(folder, recursive=True)
    path = f"part-{uuid4().hex}.parquet"
    # Floats hardly ever repeat: a dictionary of them costs a third of the time and saves nothing.
    repeating = [field.name for field in rows.schema if not pa.types.is_floating(field.type)]
    with filesystem.open_output_stream(f"{folder}/{path}") as target:
        pq.write_table(rows, target, row_group_size=rows_per_group, use_dictionary=repeating, write_page_checksum=True)
        size = target.tell()
    return pa.record_batch([[path], [size], [rows.num_rows], [_statistics(rows)]], schema=FILES)


def commit_files(
    files: pa.Table, gold: str, schema: pa.Schema, position: GoldPosition, *, onto: DeltaTable | None
) -> None:
    """Append the files to the table as `onto` was read, or make the table of them where there was none.

    Raises LarderError when another refresh was committed since then.
    """
    actions = added(files, data_change=True)
    properties = CommitProperties(
        custom_metadata={
            "userMetadata": encoded(position),
            "operationMetrics": {"num_added_rows": pc.sum(files["rows"]).as_py() or 0},
        },
        app_transactions=[Transaction(APPLICATION, position.refresh)],
    )
    try:
        if onto is None:
            create_table_with_add_actions(gold, Schema.from_arrow(schema), actions, commit_properties=properties)
        else:
            onto.create_write_transaction(actions, "append", schema, commit_properties=properties)
    except DeltaError as problem:
        # Their files stay: had only what follows a commit failed, they would be rows of the table.
        raise LarderError(
            f"The rows for {gold} could not be committed: {problem}. If another run refreshed it at the same time, "
            "nothing is lost: run this one again."
        ) from problem


def added(files: pa.Table, *, data_change: bool) -> list[AddAction]:
    """What makes the files part of a table; `data_change` says whether their rows are new to it."""
    now = int(time.time() * 1000)
    return [
        AddAction(file["path"], file["size"], {}, now, data_change=data_change, stats=file["stats"])
        for file in files.to_pylist()
    ]


def _statistics(rows: pa.Table) -> str:
    """Delta's, of the times alone: a file holds keys of all sizes, so nothing else spares reading it."""
    ranges = {name: pc.min_max(rows[name]).as_py() for name in (EVENT_TIMESTAMP, KNOWN_AT)}
    content = {
        "numRecords": rows.num_rows,
        "minValues": {name: _milliseconds(found["min"], up=False) for name, found in ranges.items()},
        "maxValues": {name: _milliseconds(found["max"], up=True) for name, found in ranges.items()},
        "nullCount": dict.fromkeys(ranges, 0),
    }
    return msgspec.json.encode(content).decode()


def _milliseconds(instant: datetime, *, up: bool) -> str:
    """Delta keeps times in statistics to the millisecond; a bound must not leave out what it bounds."""
    cut = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    if up and cut < instant:
        cut += timedelta(milliseconds=1)
    return cut.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
