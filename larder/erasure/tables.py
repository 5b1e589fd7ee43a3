"""One subject's rows in a Delta table: found, deleted, and gone from everything that is kept of older versions.

Old versions hold old rows, a commit says what was deleted, and statistics in the log name smallest and greatest values.
So the files that left the table are deleted and its log begins anew, with a checkpoint of the version without the rows.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from larder.contracts.errors import InvalidDataError, UnsupportedError, first_line
from larder.contracts.ingestion import CONTENT_HASH, SOURCE_FILE
from larder.erasure.subject import Subject
from larder.offline.tables.delta_table import open_table, scanned
from larder.offline.tables.gold import encoded, position_in
from larder.offline.tables.integrity import place
from larder.versions.snapshot import row_count

BEGUN = "larder: rows of an entity are being erased"
"""Metadata of a commit that deleted rows. A log that has it is not yet free of them."""
ERASED = "larder: rows of an entity were erased"
_HOURS_OF_A_WRITER = 1
"""A file that no version has may belong to a commit under way; an hour later it was left behind."""
ATTEMPTS = 5


@dataclass(frozen=True)
class Found:
    """What one table has of the subject."""

    rows: int
    files: Counter[str]
    """Raw files that its rows came from, where the table says so."""
    is_unfinished: bool
    """Whether an erasure was cut off here."""
    whole_files: frozenset[str] = frozenset()
    """Content hashes of raw files of which the table holds no other row."""

    @property
    def is_due(self) -> bool:
        return bool(self.rows) or self.is_unfinished


def found(table: str, subject: Subject) -> Found | None:
    """None where the table, a folder or URI, has no column for one of the keys. Raises what `open_table` raises."""
    delta = open_table(table)
    schema = pa.schema(delta.schema().to_arrow())
    condition = subject.condition(schema)
    if condition is None:
        return None
    rows, counts = 0, {name: Counter[str]() for name in (SOURCE_FILE, CONTENT_HASH) if name in schema.names}
    for batch in scanned(delta, [*counts] or schema.names[:1], condition):
        rows += batch.num_rows
        for name, counter in counts.items():
            counter.update(batch[name].to_pylist())
    whole = _whole_files(delta, counts.get(CONTENT_HASH, Counter()))
    return Found(rows, counts.get(SOURCE_FILE, Counter()), _is_unfinished(delta), whole)


def _whole_files(delta: DeltaTable, own: Counter[str]) -> frozenset[str]:
    """Content hashes of which the table has no more rows than `own` counts."""
    every = Counter[str]()
    for batch in scanned(delta, [CONTENT_HASH]) if own else ():
        every.update(batch[CONTENT_HASH].to_pylist())
    return frozenset(content_hash for content_hash, rows in own.items() if rows == every[content_hash])


@dataclass(frozen=True)
class Left:
    """What one table is after an erasure."""

    version: int
    rows: int | None
    """None where the log does not count them."""


def erase(table: str, subject: Subject) -> Left:
    """Delete the subject's rows and all older versions of the table.

    Nothing else may write the table meanwhile, unless it only appends. Can be repeated after a kill at any instant.
    Raises UnsupportedError for a table that deltalake cannot rewrite, and InvalidDataError when others go on writing
    rows of the subject.
    """
    delta = open_table(table)
    condition = subject.condition(pa.schema(delta.schema().to_arrow()))
    _check_features(delta)
    metadata = _kept_metadata(delta)
    with _rewriting(table):
        if condition is not None:
            _delete(delta, condition)
        delta.vacuum(0, dry_run=False, enforce_retention_duration=False)
        delta.vacuum(_HOURS_OF_A_WRITER, dry_run=False, enforce_retention_duration=False, full=True)
        _commit_metadata(delta, metadata)
        delta.create_checkpoint()
    _delete_log_before(table, delta.version())
    return Left(delta.version(), row_count(delta))


def _delete(delta: DeltaTable, condition: str) -> None:
    properties = CommitProperties(custom_metadata={"userMetadata": BEGUN})
    for _ in range(ATTEMPTS):
        if not delta.delete(condition, commit_properties=properties)["num_deleted_rows"]:
            return
        delta.update_incremental()
    raise InvalidDataError(
        f"{place(delta)} got rows of the entity {ATTEMPTS} times while they were erased. Stop what writes them, then "
        "run the same command again."
    )


def _kept_metadata(delta: DeltaTable) -> str:
    """Where a gold table stands is written in its commits only."""
    try:
        return encoded(position_in(delta))
    except InvalidDataError:
        return ERASED


def _commit_metadata(delta: DeltaTable, metadata: str) -> None:
    delta.create_write_transaction(
        [],
        "append",
        delta.schema(),
        commit_properties=CommitProperties(custom_metadata={"userMetadata": metadata}),
    )
    delta.update_incremental()


def _is_unfinished(delta: DeltaTable) -> bool:
    return any(commit.get("userMetadata") == BEGUN for commit in delta.history())


def _check_features(delta: DeltaTable) -> None:
    if delta.metadata().configuration.get("delta.enableChangeDataFeed") == "true":
        raise UnsupportedError(
            f"{place(delta)} keeps a change data feed, which would keep the rows; nothing was deleted from it. Turn it "
            "off (delta.enableChangeDataFeed), let Spark VACUUM the table, and run the same command again."
        )


def _delete_log_before(table: str, version: int) -> None:
    """The oldest first: what says that an erasure has begun goes after all that came before it."""
    folder = pafs.PyFileSystem(DeltaStorageHandler(table, {}))
    files = folder.get_file_info(pafs.FileSelector("_delta_log"))
    old = [(number, file.path) for file in files if (number := _version(file.base_name)) is not None]
    for number, path in sorted(old):
        if number < version:
            folder.delete_file(path)


def _version(name: str) -> int | None:
    """Of a file in a log, its checksums included; None for one that belongs to no version."""
    digits = name.removeprefix(".")[:20]
    return int(digits) if len(digits) == 20 and digits.isdigit() else None


@contextmanager
def _rewriting(table: str) -> Iterator[None]:
    try:
        yield
    except DeltaError as problem:
        raise UnsupportedError(
            f"Rows cannot be erased from {table}: deltalake says: {first_line(problem)}. What was erased before is "
            "gone; put this right and run the same command again."
        ) from problem
