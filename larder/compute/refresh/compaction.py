"""Small files of gold made one, since a refresh with news adds a file and every reader pays for each of them.

A commit that moves rows says so (`dataChange` false): Redis, and a refresh, have nothing to do about it. It may only
follow the version that was read, for delta-rs lets two commits through that both replace the same files.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.transaction import RemoveAction

from larder.compute.refresh.gold_files import added, write_file
from larder.contracts.errors import InvalidDataError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.gold import COMPACTION, opened_gold, position_in
from larder.offline.tables.integrity import RESTORE, place
from larder.offline.tables.parquet import filesystem_of

SMALL = 8_000_000
"""Bytes of a file that compaction leaves alone."""
LARGE = 32_000_000
"""Bytes that are read at once, to become one file; memory holds a few times as much."""
_ROWS_PER_GROUP = 1 << 17
"""A refresh reads the groups of rows since an instant, and rows lie by time."""


@dataclass(frozen=True)
class SmallFile:
    path: str
    """As the log has it."""
    size: int
    latest: datetime
    """No row is known, or about an instant, after it."""


def compact(gold: str, *, from_files: int) -> int:
    """Put the rows of small files into one where there are at least `from_files` (0: never); how many were replaced.

    Files that the last refresh wrote wait for the next time, so that who reads by instants does not read old rows with
    them. 0 also where another process committed meanwhile: nothing is lost, and a later call tries again. The old
    files stay for older versions until VACUUM. Raises InvalidDataError when a file does not fit its checksums.
    """
    table = opened_gold(gold) if from_files > 0 else None
    files = [] if table is None else small_files(table, from_files)
    return len(files) if table is not None and files and put_together(table, files) else 0


def small_files(table: DeltaTable, from_files: int) -> list[SmallFile]:
    """The smallest of the small files, as many as may be read at once; none while they are fewer than `from_files`."""
    if _is_special(table):
        return []
    reached = position_in(table).instant
    small = sorted((file for file in _files(table) if file.size < SMALL and file.latest < reached), key=_size)
    total = accumulate(map(_size, small))
    fitting = [file for file, size in zip(small, total, strict=True) if size <= LARGE]
    return fitting if len(small) >= from_files and len(fitting) > 1 else []


def put_together(table: DeltaTable, files: Sequence[SmallFile]) -> bool:
    """One file in the place of several, as the next version of the table; False where there is another one by now."""
    # The table's own columns and types: its view may declare others by now, and what gold holds must stay.
    gold, schema = place(table), pa.schema(table.schema().to_arrow())
    try:
        rows = pa.concat_tables(_rows(gold, file, schema) for file in files)
        written = write_file(rows.sort_by(EVENT_TIMESTAMP), gold, rows_per_group=_ROWS_PER_GROUP)
        _commit(table, written, files, schema)
    except (FileNotFoundError, DeltaError):
        return False
    return True


def _is_special(table: DeltaTable) -> bool:
    """Whether rows are more, or elsewhere, than the files alone say."""
    metadata = table.metadata()
    is_mapped = metadata.configuration.get("delta.columnMapping.mode", "none") != "none"
    return bool(
        metadata.partition_columns or is_mapped or "deletionVectors" in (table.protocol().reader_features or ())
    )


def _files(table: DeltaTable) -> Iterator[SmallFile]:
    """Those whose instants the log tells."""
    found = pa.table(table.get_add_actions(flatten=True))
    times = [f"max.{EVENT_TIMESTAMP}", f"max.{KNOWN_AT}"]
    if set(times) <= set(found.column_names):
        for path, size, *ends in zip(
            *(found[name].to_pylist() for name in ("path", "size_bytes", *times)), strict=True
        ):
            if None not in ends:
                yield SmallFile(path, size, max(ends))


def _size(file: SmallFile) -> int:
    return file.size


def _rows(gold: str, file: SmallFile, schema: pa.Schema) -> pa.Table:
    filesystem, folder = filesystem_of(gold, {})
    try:
        with filesystem.open_input_file(f"{folder}/{unquote(file.path)}") as source:
            return pq.read_table(source, columns=schema.names, page_checksum_verification=True).cast(schema)
    except FileNotFoundError:  # replaced and vacuumed by another process
        raise
    except (OSError, pa.ArrowInvalid) as problem:
        raise InvalidDataError(
            f"{file.path} of {gold} cannot be read: {problem}. {RESTORE}; its rows are served, but small files pile up."
        ) from problem


def _commit(table: DeltaTable, written: pa.RecordBatch, replaced: Sequence[SmallFile], schema: pa.Schema) -> None:
    now = int(time.time() * 1000)
    # First what goes: a commit that was cut off then lacks rows that it says it has, and readers refuse it.
    actions = [
        *(RemoveAction(file.path, data_change=False, deletion_timestamp=now, size=file.size) for file in replaced),
        *added(pa.Table.from_batches([written]), data_change=False),
    ]
    rows = written["rows"][0].as_py()
    properties = CommitProperties(
        custom_metadata={
            "userMetadata": COMPACTION,
            "operationMetrics": {"num_added_rows": rows, "num_moved_rows": rows},
        },
        max_commit_retries=0,
    )
    table.create_write_transaction(actions, "append", schema, commit_properties=properties)
