"""Opening Delta tables at a version, and reading them with errors that say what to do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from larder.contracts.errors import InvalidDataError, LarderError, MissingTableError, UnsupportedError, first_line
from larder.offline.tables.integrity import RESTORE, check_files, missing_file, place
from larder.offline.tables.kinds import is_text, without_views
from larder.offline.tables.log import Log, list_log, listed_damage

Options = Mapping[str, str]

_MISSING_FILE = re.compile(r"Object at location (.+) not found|Failed to open local file '(.+?)'.*No such file")
"""How the object stores of delta-rs say it, and Arrow."""


def open_table(uri: str, version: int | None = None, *, options: Options | None = None) -> DeltaTable:
    """The table at `version` (None: the latest), `options` being those of its object store.

    Raises MissingTableError when there is none, or no such version; InvalidDataError when its log is damaged.
    Costs one listing of the log beside what deltalake does.
    """
    try:
        table = DeltaTable(uri, version=version, storage_options=dict(options or {}) or None)
    except DeltaError as problem:
        raise _not_opened(uri, list_log(uri, options), version, problem) from None
    damage = listed_damage(list_log(uri, options), table.version())
    if damage:
        raise _damaged(uri, table.version(), damage)
    return table


def scanned(table: DeltaTable, columns: Sequence[str], predicate: str | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of `table` that fulfil an SQL predicate, in no particular order. Raises what `reading` raises."""
    partitions = [name for name in table.metadata().partition_columns if name in columns]
    with reading(table):
        for batch in pa.RecordBatchReader.from_stream(table.scan(columns=list(columns), predicate=predicate)):
            yield _with_null_partitions(batch, partitions)


@contextmanager
def reading(table: DeltaTable) -> Iterator[None]:
    """Around a scan of `table`: its files are checked before, its errors are translated (`scanning`).

    Raises MissingTableError when a file was vacuumed, InvalidDataError when one is damaged or cannot be decoded.
    """
    check_files(table)
    with scanning(table):
        yield


@contextmanager
def scanning(table: DeltaTable) -> Iterator[None]:
    """What goes wrong in a scan of `table` comes out as an error that names the table and a remedy."""
    try:
        yield
    except (LarderError, MemoryError):
        raise
    except BaseException as problem:
        if not _is_from_the_scan(problem):
            raise
        text = first_line(problem)
        if missing := _MISSING_FILE.search(text):
            raise missing_file(table, missing[1] or missing[2]) from problem
        if unknown := re.search(r"Unsupported table features required: \[(.+)\]", text):
            raise UnsupportedError(
                f"Version {table.version()} of {place(table)} needs {unknown[1]} of Delta, which only Spark reads. Set "
                "offline_store.engine to 'spark', by which entity rows are answered and Redis is filled, or, for a "
                "retrieval without entity rows, let Spark take it out: ALTER TABLE ... DROP FEATURE."
            ) from problem
        raise InvalidDataError(
            f"Version {table.version()} of {place(table)} cannot be read: {text}. A file of it is damaged or out of "
            f"reach. {RESTORE}, or write its rows again."
        ) from problem


def table_schema(uri: str, version: int | None = None, *, options: Options | None = None) -> pa.Schema:
    return pa.schema(open_table(uri, version, options=options).schema().to_arrow())


def _with_null_partitions(batch: pa.RecordBatch, partitions: Sequence[str]) -> pa.RecordBatch:
    """In Delta an empty text as a partition's value is null, which is how Spark and Arrow read it; delta-rs' scan
    gives the text."""
    for name in partitions:
        values = batch[name]
        if is_text(values.type):
            values = values.cast(without_views(values.type))
            nulled = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
            batch = batch.set_column(batch.schema.get_field_index(name), name, nulled)
    return batch


def _not_opened(uri: str, log: Log, version: int | None, problem: DeltaError) -> LarderError:
    if log.newest is None:
        if not isinstance(problem, TableNotFoundError) and not Path(uri).is_file():
            return InvalidDataError(f"The Delta table at {uri} cannot be opened: {first_line(problem)}.")
        return MissingTableError(
            f"There is no Delta table at {uri}. Write it first (`larder ingest` for silver tables, `larder features` "
            "or `feast materialize-incremental` for windowed views), or correct the path of its DeltaSource; "
            "relative paths start at `lake` under `offline_store:`, or at LARDER_LAKE. Parquet files "
            "without a Delta log are read through Feast's FileSource."
        )
    if version is not None and version > log.newest:
        return MissingTableError(
            f"The Delta table at {uri} has no version {version}; its newest is {log.newest}. Correct the version that "
            "is pinned."
        )
    if version is not None and _is_cleaned_up(log, version):
        return MissingTableError(
            f"Version {version} of {uri} cannot be read any more: the log entries that it needs were cleaned up, by "
            f"Delta's retention or by `larder erase`; the newest version is {log.newest}. Pin a later version, and "
            "keep pinned ones with a longer delta.logRetentionDuration."
        )
    wanted = log.newest if version is None else version
    if unknown := re.search(r"Feature '(.+)' is not supported", str(problem)):
        return UnsupportedError(
            f"Version {wanted} of {uri} needs {unknown[1]} of Delta, which deltalake does not know. Let the engine "
            "that wrote it take it out: ALTER TABLE ... DROP FEATURE."
        )
    return _damaged(uri, wanted, listed_damage(log, wanted) or f"deltalake says: {first_line(problem)}")


def _is_cleaned_up(log: Log, version: int) -> bool:
    """Whether the log begins with a checkpoint that is later than the version."""
    checkpoints = [file.version for file in log.files if not file.is_commit]
    has_start = any(file.version == 0 for file in log.files)
    return not has_start and bool(checkpoints) and min(checkpoints) > version


def _damaged(uri: str, version: int, damage: str) -> InvalidDataError:
    return InvalidDataError(
        f"The log of the Delta table at {uri} is damaged: {damage}. Version {version} would lack rows, so it is not "
        f"read. {RESTORE}, or pin a version before the damage with DeltaSource(version=...)."
    )


def _is_from_the_scan(problem: BaseException) -> bool:
    """DataFusion's errors come as plain Exception, and Rust's panics as an exception of a module without a name."""
    kind = type(problem)
    return isinstance(problem, pa.ArrowException | DeltaError | OSError) or kind.__name__ in (
        "Exception",
        "PanicException",
    )
