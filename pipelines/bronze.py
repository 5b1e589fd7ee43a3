"""Bronze: raw rows as text, as they came, with the file, row, batch and instant they came from."""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from larder.contracts.ingestion import BRONZE_COLUMNS, CONTENT_HASH, ROW_NUMBER, SOURCE_FILE, RawTable
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.rows import batches_of
from larder.spark.session import session_options
from pipelines.delta import Write, append, exists, last_version
from pipelines.raw import RawFile

APPLICATION = "larder.ingest"
_ROW_IN_PARTITION = (1 << 33) - 1
# A file that seems to cost as much as a whole partition gets one for itself.
_ONE_FILE_PER_PARTITION = {f"spark.sql.files.{name}": str(1 << 40) for name in ("openCostInBytes", "maxPartitionBytes")}


def ingested_hashes(uri: str) -> set[str]:
    """Content hashes of the files whose rows the table holds."""
    if not exists(uri):
        return set()
    batches = batches_of(open_table(uri), [CONTENT_HASH])
    return {content_hash for batch in batches for content_hash in batch[CONTENT_HASH].unique().to_pylist()}


def last_batch(uri: str) -> int:
    """Number of the table's last batch; -1 before the first."""
    return last_version(uri, APPLICATION)


def append_files(spark: SparkSession, files: Sequence[RawFile], table: RawTable, uri: str, *, now: datetime) -> None:
    """Append all rows of the files as the table's next batch, in one commit."""
    batch_id = last_batch(uri) + 1
    headers = sorted({file.columns for file in files})
    parts = [_rows(spark, [file for file in files if file.columns == header], header, table) for header in headers]
    rows = parts[0]
    for part in parts[1:]:
        rows = rows.unionByName(part, allowMissingColumns=True)
    added = {"ingested_at": F.lit(now), "batch_id": F.lit(batch_id).cast("long")}
    columns = [name for name in rows.columns if name not in BRONZE_COLUMNS]
    with session_options(spark, _ONE_FILE_PER_PARTITION):
        append(rows.withColumns(added).select(*BRONZE_COLUMNS, *columns), uri, Write(APPLICATION, batch_id))


def rows_after(spark: SparkSession, uri: str, batch_id: int) -> DataFrame:
    """Bronze rows of the batches after `batch_id`."""
    return spark.read.format("delta").load(uri).where(F.col("batch_id") > batch_id)


def _rows(spark: SparkSession, files: Sequence[RawFile], header: Sequence[str], table: RawTable) -> DataFrame:
    schema = T.StructType([T.StructField(name, T.StringType()) for name in (*header, "malformed_record")])
    text = spark.read.csv(
        [str(file.staged) for file in files],
        schema=schema,
        sep=table.separator,
        header=True,
        # Also keeps a file in one partition, from its first row to its last: rows can be counted there.
        multiLine=True,
        quote='"',
        escape='"',
        mode="PERMISSIVE",
        columnNameOfCorruptRecord="malformed_record",
    )
    # A lookup in a literal costs no job, unlike a join.
    names = F.create_map(*(F.lit(text) for file in files for text in (file.content_hash, file.name)))
    content_hash = F.regexp_replace("_metadata.file_name", r"\.csv$", "")
    return text.withColumns(
        {
            CONTENT_HASH: content_hash,
            SOURCE_FILE: names[content_hash],
            ROW_NUMBER: F.monotonically_increasing_id().bitwiseAND(F.lit(_ROW_IN_PARTITION)) + 1,
        }
    )
