"""Opening Delta tables at a version, and reading them with errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from larder.contracts.errors import ConfigurationError, InvalidDataError, LarderError, MissingTableError
from larder.offline.integrity import RESTORE, check_files, missing_file, place
from larder.offline.log import Log, list_log, listed_damage


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """The table at `version` (None: the latest).

    Raises MissingTableError when there is none, or no such version; InvalidDataError when its log is damaged.
    Costs one listing of the log beside what deltalake does.
    """
    try:
        table = DeltaTable(uri, version=version)
    except DeltaError as problem:
        raise _not_opened(uri, version, problem) from None
    damage = listed_damage(list_log(uri), table.version())
    if damage:
        raise _damaged(uri, table.version(), damage)
    return table


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
        text = _first_line(problem)
        if "not found" in text.lower():
            raise missing_file(table, text.split("Object at location ")[-1].split(" not found")[0]) from problem
        raise InvalidDataError(
            f"Version {table.version()} of {place(table)} cannot be read: {text}. A file of it is damaged or out of "
            f"reach. {RESTORE}, or write its rows again."
        ) from problem


def table_schema(uri: str, version: int | None = None) -> pa.Schema:
    return pa.schema(open_table(uri, version).schema().to_arrow())


def write_dataset(uri: str, rows: pa.Table, *, allow_overwrite: bool) -> None:
    """Write `rows` as the whole table. Raises ConfigurationError when there is one that may not be replaced."""
    if DeltaTable.is_deltatable(uri) and not allow_overwrite:
        raise ConfigurationError(
            f"There is already a Delta table at {uri}; it was left as it is. Choose another path, or pass "
            "allow_overwrite=True."
        )
    write_deltalake(uri, rows.cast(_storable(rows.schema)), mode="overwrite", schema_mode="overwrite")


def _not_opened(uri: str, version: int | None, problem: DeltaError) -> LarderError:
    log = list_log(uri)
    if log.newest is None:
        if not isinstance(problem, TableNotFoundError):
            return InvalidDataError(f"The Delta table at {uri} cannot be opened: {_first_line(problem)}.")
        return MissingTableError(
            f"There is no Delta table at {uri}. Write it first (`larder ingest` for silver tables, `larder features` "
            "or `feast materialize-incremental` for windowed views), or correct the path of its DeltaSource; "
            "relative paths start at LARDER_LAKE."
        )
    if version is not None and version > log.newest:
        return MissingTableError(
            f"The Delta table at {uri} has no version {version}; its newest is {log.newest}. Correct the version that "
            "is pinned."
        )
    if version is not None and _is_cleaned_up(log, version):
        return MissingTableError(
            f"Version {version} of {uri} cannot be read any more: the log entries that it needs were cleaned up; the "
            f"newest version is {log.newest}. Pin a later version, and keep pinned ones with a longer "
            "delta.logRetentionDuration."
        )
    wanted = log.newest if version is None else version
    return _damaged(uri, wanted, listed_damage(log, wanted) or f"deltalake says: {_first_line(problem)}")


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


def _first_line(problem: BaseException) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)[:300].rstrip(". ")


def _storable(schema: pa.Schema) -> pa.Schema:
    """Delta keeps microseconds."""
    return pa.schema(
        column.with_type(pa.timestamp("us", tz=column.type.tz)) if pa.types.is_timestamp(column.type) else column
        for column in schema
    )
