"""Delta tables that Spark writes: appends and merges that happen once, however often they are tried.

Every write carries (application, version); Delta skips it when the table has that version already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from delta.tables import DeltaTable
from deltalake import DeltaTable as TableLog
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from larder.contracts.errors import ConfigurationError
from larder.offline.tables.delta_table import open_table
from larder.spark.session import session_options


@dataclass(frozen=True)
class Write:
    """What identifies a write: who writes, and the number of what is written."""

    application: str
    version: int


@dataclass(frozen=True)
class Merged:
    """What a merge did, in rows."""

    new: int = 0
    updated: int = 0
    removed: int = 0


_BELONGS = "_belongs"


def exists(uri: str) -> bool:
    return bool(TableLog.is_deltatable(uri))


def last_version(uri: str, application: str) -> int:
    """Version of the application's last write to the table; -1 when there is none. Raises what `open_table` raises."""
    version = open_table(uri).transaction_version(application) if exists(uri) else None
    return -1 if version is None else version


def append(rows: DataFrame, uri: str, write: Write) -> None:
    """Append once; columns that the table does not have yet are added to it."""
    options = {"txnAppId": write.application, "txnVersion": str(write.version), "mergeSchema": "true"}
    rows.write.format("delta").mode("append").options(**options).save(uri)


def merge(rows: DataFrame, gone: DataFrame | None, uri: str, key: Sequence[str], write: Write) -> Merged:
    """Insert rows with a new key, replace rows whose content differs, leave the others; remove the keys in `gone`.

    `rows` hold each key once, without nulls. `gone` has the key columns only, and each key once; a key that is in
    `rows`, too, stays. A column that the table does not have yet is added to it. Raises ConfigurationError for a column
    that it holds in another type.
    """
    if not exists(uri):
        append(rows, uri, write)
        return Merged(new=open_table(uri).count())
    _fit_columns(rows, uri)
    columns = {name: f"given.`{name}`" for name in rows.columns}
    given = rows.withColumn(_BELONGS, F.lit(True))
    if gone is not None:
        left = gone.join(rows, on=list(key), how="left_anti").withColumn(_BELONGS, F.lit(False))
        given = given.unionByName(left, allowMissingColumns=True)
    same_key = " AND ".join(f"stored.`{name}` = given.`{name}`" for name in key)
    same = " AND ".join(f"stored.`{name}` <=> given.`{name}`" for name in rows.columns)
    with session_options(rows.sparkSession, _transaction(write)):
        result = (
            DeltaTable.forPath(rows.sparkSession, uri)
            .alias("stored")
            .merge(given.alias("given"), same_key)
            .whenMatchedDelete(f"NOT given.{_BELONGS}")
            .whenMatchedUpdate(f"NOT ({same})", columns)
            .whenNotMatchedInsert(f"given.{_BELONGS}", columns)
            .execute()
            .select("num_inserted_rows", "num_updated_rows", "num_deleted_rows")
            .first()
        )
    return Merged() if result is None else Merged(*(int(count or 0) for count in result))


def _fit_columns(rows: DataFrame, uri: str) -> None:
    """Add the columns that the table lacks, null in its rows. Raises ConfigurationError for one of another type."""
    held = {column.name: column.dataType for column in rows.sparkSession.read.format("delta").load(uri).schema}
    for column in rows.schema:
        if column.name in held and held[column.name] != column.dataType:
            was, now = (dtype.simpleString() for dtype in (held[column.name], column.dataType))
            raise ConfigurationError(
                f"{uri} holds {column.name!r} as {was}, and the pipelines file now declares {now}. Declare the former "
                "type, or give the column another name; or delete the table: the next `larder ingest` makes it anew "
                "from bronze."
            )
    if not held.keys() >= set(rows.columns):
        rows.limit(0).write.format("delta").mode("append").option("mergeSchema", "true").save(uri)


def _transaction(write: Write) -> dict[str, str]:
    # A merge has no writer options; Delta reads the same two from the session.
    prefix = "spark.databricks.delta.write"
    return {f"{prefix}.txnAppId": write.application, f"{prefix}.txnVersion": str(write.version)}
