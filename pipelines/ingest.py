"""Raw files to bronze, silver and label tables: each file once, each row once, whatever is tried again."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from larder.contracts.errors import MissingTableError
from larder.contracts.ingestion import Ingestion, LabelTable, RawTable, SilverTable
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.erasure.raw_files import erased_files
from larder.ledger import ledger_of
from larder.lock import only_one_ingestion
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.delta_writing import append_rows
from larder.offline.tables.kinds import INSTANT
from larder.offline.tables.rows import rows_of
from pipelines import bronze, silver
from pipelines.delta import Write, append, exists, last_version, merge
from pipelines.raw import RawFile, RefusedFile, checked_file
from pipelines.typed import REASONS, typed_rows

REFUSED_FILES = "raw_files"
"""Quarantine table with one row per refused file and reason."""

_ROWS_PER_FILE = 100_000
"""Fewer new rows than this are written as one file: a table of many small files is slow to write and to read."""
_STAGING = "staging-"


@dataclass(frozen=True)
class TableResult:
    """What a run did to one table, in rows."""

    table: str
    """Layer and name, like `silver/orders`."""
    rows: int
    new: int
    updated: int
    unchanged: int
    quarantined: int
    reason: str
    """The most frequent reason for quarantine."""
    seconds: float


@dataclass(frozen=True)
class IngestionResult:
    tables: tuple[TableResult, ...]
    """Only tables that had something to do, in the order of the work."""
    refused_files: tuple[RefusedFile, ...]
    known_files: int
    """Files whose content was ingested before, and those with no row."""
    new_files: dict[str, str]
    """The other whole files: name -> SHA-256 of the content."""


def ingest(
    ingestion: Ingestion, paths: Mapping[str, Sequence[Path]], settings: Settings, spark: Callable[[], SparkSession]
) -> IngestionResult:
    """Take the files, given by raw table, to all tables. Without a new file, no table gets a new version.

    A run that was interrupted is completed by the next one. `spark` is called only when there is work.
    Raises BusyError when another ingestion is running.
    """
    lake, now = Lake(settings.lake), settings.clock()
    results: list[TableResult] = []
    refused: list[RefusedFile] = []
    known, taken = 0, dict[str, str]()
    with (
        only_one_ingestion(settings.state),  # two at once could number their batches alike
        _staging(settings.state) as staging,
    ):
        erased = erased_files(ledger_of(settings))
        for raw in ingestion.raw:
            files = [checked_file(path, raw, root=settings.raw, staging=staging) for path in paths[raw.name]]
            whole = [file for file in files if isinstance(file, RawFile)]
            refused += [file for file in files if isinstance(file, RefusedFile)]
            new = _new_files(whole, bronze.ingested_hashes(lake.bronze(raw.name)) | erased)
            known += len(whole) - len(new)
            taken |= {file.name: file.content_hash for file in new}
            results += _ingest_table(ingestion, raw, new, lake, spark, now)
        _record_refused(refused, lake.quarantine(REFUSED_FILES), now)
    return IngestionResult(tuple(results), tuple(refused), known, taken)


@contextmanager
def _staging(state: Path) -> Iterator[Path]:
    """A folder for copies of the raw files; those of ingestions that were killed go, too."""
    for left in state.glob(f"{_STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=state) as folder:
        yield Path(folder)


def place(table: SilverTable, lake: Lake) -> str:
    """Where a silver or label table lies."""
    return lake.labels(table.name) if isinstance(table, LabelTable) else lake.silver(table.name)


class StoredTables(Mapping[str, DataFrame]):
    """The silver tables as they are now, read when asked for."""

    def __init__(self, names: Sequence[str], lake: Lake, spark: SparkSession) -> None:
        self._names, self._lake, self._spark = names, lake, spark

    def __getitem__(self, name: str) -> DataFrame:
        uri = self._lake.silver(name)
        if name not in self._names or not exists(uri):
            raise MissingTableError(
                f"A transform reads the silver table {name!r}, which is not there; declared are {list(self._names)}. "
                "Ingest its raw file, now or first, and declare its raw table before those that need it."
            )
        return self._spark.read.format("delta").load(uri)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _new_files(files: Sequence[RawFile], known: set[str]) -> list[RawFile]:
    """Files with rows whose content hash is not among `known`, one per content."""
    by_content = {file.content_hash: file for file in reversed(files) if file.has_rows}
    return [file for file in by_content.values() if file.content_hash not in known]


def _ingest_table(
    ingestion: Ingestion,
    raw: RawTable,
    files: Sequence[RawFile],
    lake: Lake,
    spark: Callable[[], SparkSession],
    now: datetime,
) -> list[TableResult]:
    started, uri = time.monotonic(), lake.bronze(raw.name)
    application = f"larder.silver.{raw.name}"
    if files:
        bronze.append_files(spark(), files, raw, uri, now=now)
    tables = ingestion.tables_of(raw)
    done = min((last_version(place(table, lake), application) for table in tables), default=-1)
    write = Write(application, bronze.last_batch(uri))
    if write.version <= done:
        return []
    checked = silver.with_status(typed_rows(bronze.rows_after(spark(), uri, done), raw), raw).persist()
    counts = {row["_status"]: row["count"] for row in checked.groupBy(silver.STATUS).count().collect()}
    refused = checked.where(F.col(silver.STATUS) == silver.REFUSED)
    # A silver table of the same name has the same quarantine; each of the two writes there once per batch.
    as_raw = Write(f"larder.raw.{raw.name}", write.version)
    reason = _quarantine(refused, lake.quarantine(raw.name), as_raw, now) if counts.get(silver.REFUSED) else ""
    results = [
        TableResult(
            f"bronze/{raw.name}",
            rows=sum(counts.values()),
            new=counts.get(silver.ACCEPTED, 0),
            updated=0,
            unchanged=counts.get(silver.DUPLICATE, 0),
            quarantined=counts.get(silver.REFUSED, 0),
            reason=reason,
            seconds=time.monotonic() - started,
        )
    ]
    stored = StoredTables([table.name for table in ingestion.silver], lake, spark())
    accepted = checked.where(F.col(silver.STATUS) == silver.ACCEPTED)
    prepared = silver.prepared_rows(accepted, raw, stored).persist()
    results += [_write_table(prepared, table, lake, write, now) for table in tables]
    prepared.unpersist()
    checked.unpersist()
    return results


def _write_table(prepared: DataFrame, table: SilverTable, lake: Lake, write: Write, now: datetime) -> TableResult:
    started = time.monotonic()
    rows = silver.table_rows(prepared, table)
    valid = rows.where(F.size(REASONS) == 0).select(*(column.name for column in table.columns))
    refused = rows.where(F.size(REASONS) > 0)
    counts = silver.row_counts(rows, table)
    reason = _quarantine(refused, lake.quarantine(table.name), write, now) if counts.refused else ""
    uri = place(table, lake)
    few = valid.coalesce(1) if counts.valid < _ROWS_PER_FILE else valid
    merged = merge(few, silver.gone_keys(prepared, table), uri, table.key, write)
    return TableResult(
        "/".join(uri.split("/")[-2:]),
        rows=counts.valid + merged.removed + counts.refused,
        new=merged.new,
        updated=merged.updated + merged.removed,
        unchanged=counts.valid - merged.new - merged.updated,
        quarantined=counts.refused,
        reason=reason,
        seconds=time.monotonic() - started,
    )


def _quarantine(refused: DataFrame, uri: str, write: Write, now: datetime) -> str:
    """Keep the refused rows, each once, and return their most frequent reason."""
    # A batch is looked at again when one of several tables was not written; its refused rows are there already.
    unseen = refused.where(F.col("batch_id") > last_version(uri, write.application))
    append(silver.quarantine_rows(unseen, now=now), uri, write)
    return silver.most_frequent_reason(refused)


def _record_refused(refused: Sequence[RefusedFile], uri: str, now: datetime) -> None:
    columns = ["table", "name", "reason"]
    listed = rows_of(open_table(uri), columns).to_pylist() if exists(uri) else []
    rows = [asdict(file) for file in refused if asdict(file) not in listed]
    if rows:
        refused_at = pa.array([now] * len(rows), INSTANT)
        append_rows(uri, pa.Table.from_pylist(rows).append_column("refused_at", refused_at))
