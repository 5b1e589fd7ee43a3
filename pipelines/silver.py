"""Silver: which typed rows are taken, which are refused and why, and what each table is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.ingestion import ROW_NUMBER, SOURCE_FILE, RawTable, SilverTable
from pipelines.typed import REASONS, RECORD, SPARK_TYPES, duplicate_misfit, found, value_misfits

STATUS = "_status"
ACCEPTED, DUPLICATE, REFUSED = "accepted", "duplicate", "refused"

_LINEAGE = (SOURCE_FILE, ROW_NUMBER, "batch_id", RECORD)


@dataclass(frozen=True)
class RowCounts:
    valid: int
    refused: int


def with_status(typed: DataFrame, table: RawTable) -> DataFrame:
    """Add `_status`, and a reason to each row that contradicts an earlier row of its file about the same key.

    Of the rows with one key in one file the first counts; of several files the latest, as if each had come alone.
    Rows that say the same again are duplicates.
    """
    is_valid = F.size(REASONS) == 0
    # A row that is refused already must not stand for its key: it is put into a group of its own.
    group = [*(f"`{name}`" for name in table.key), "_stray"]
    arrival = F.struct("batch_id", SOURCE_FILE)
    in_file = Window.partitionBy(*group, "batch_id", SOURCE_FILE).orderBy(ROW_NUMBER)
    marked = (
        typed.withColumn("_stray", F.when(~is_valid, F.struct("content_hash", ROW_NUMBER)))
        # One shuffle for both windows; each would ask for its own.
        .repartition(*(F.col(name) for name in group))
        .withColumn("_first", F.first(F.struct(F.col(ROW_NUMBER).alias("row"), RECORD)).over(in_file))
        .withColumn("_latest", F.max(arrival).over(Window.partitionBy(*group)))
        .withColumn("_is_other", ~F.col(f"_first.{RECORD}").eqNullSafe(F.col(RECORD)))
    )
    contradiction = found([duplicate_misfit(table.key, F.col("_first.row"), F.col("_is_other"))])
    status = (
        F.when(~is_valid | F.col("_is_other"), F.lit(REFUSED))
        .when((F.col("_first.row") == F.col(ROW_NUMBER)) & (arrival == F.col("_latest")), F.lit(ACCEPTED))
        .otherwise(F.lit(DUPLICATE))
    )
    reasons = F.when(is_valid, contradiction).otherwise(F.col(REASONS))
    return marked.withColumns({STATUS: status, REASONS: reasons}).drop("_stray", "_first", "_latest", "_is_other")


def prepared_rows(accepted: DataFrame, table: RawTable, tables: Mapping[str, DataFrame]) -> DataFrame:
    """The accepted rows with whatever the use case's transform adds."""
    if table.transform is None:
        return accepted
    rows: DataFrame = table.transform(accepted, tables)
    missing = [name for name in _LINEAGE if name not in rows.columns]
    if missing:
        raise ConfigurationError(
            f"The transform of raw table {table.name!r} drops the columns {missing}, which say where a row comes from. "
            "Add columns with `withColumns` instead of selecting."
        )
    return rows


def table_rows(prepared: DataFrame, table: SilverTable) -> DataFrame:
    """The rows of one table: its columns with their types, where each comes from, and `_reasons`."""
    rows = prepared if table.where is None else prepared.where(table.where)
    missing = [column.name for column in table.columns if column.name not in rows.columns]
    if missing:
        raise ConfigurationError(
            f"Table {table.name!r} declares the columns {missing}, which raw table {table.source!r} and its transform "
            f"do not have; they have {sorted(rows.columns)}."
        )
    columns = [replace(item, nullable=item.nullable and item.name not in table.key) for item in table.columns]
    values = {item.name: F.col(f"`{item.name}`").cast(SPARK_TYPES[item.dtype]) for item in columns}
    misfits = [misfit for item in columns for misfit in value_misfits(item, F.col(f"`{item.name}`"))]
    return rows.select(*(values[name].alias(name) for name in values), *_LINEAGE).withColumn(REASONS, found(misfits))


def gone_keys(prepared: DataFrame, table: SilverTable) -> DataFrame | None:
    """Keys of rows that do not belong to the table: an earlier row that did is corrected by them. None: all belong."""
    if table.where is None:
        return None
    values = {item.name: F.col(f"`{item.name}`").cast(SPARK_TYPES[item.dtype]) for item in table.columns}
    others = prepared.where(~F.coalesce(F.expr(table.where), F.lit(False)))
    return others.select(*(values[name].alias(name) for name in table.key)).dropna().distinct()


def row_counts(rows: DataFrame, table: SilverTable) -> RowCounts:
    """Valid and refused rows of `table_rows`.

    Raises InvalidDataError when two valid rows share the table's key: then the raw table's key does not imply it.
    """
    is_valid = (F.size(REASONS) == 0).alias("_is_valid")
    keys = rows.groupBy(*(F.col(f"`{name}`") for name in table.key), is_valid).agg(F.count(F.lit(1)).alias("_rows"))
    key = F.concat_ws(", ", *(F.col(f"`{name}`").cast("string") for name in table.key)).alias("key")
    counts = keys.agg(
        F.sum(F.when(F.col("_is_valid"), F.col("_rows"))).alias("valid"),
        F.sum(F.when(~F.col("_is_valid"), F.col("_rows"))).alias("refused"),
        F.max(F.when(F.col("_is_valid"), F.struct("_rows", key))).alias("most"),
    ).collect()[0]
    if counts["most"] is not None and counts["most"]["_rows"] > 1:
        raise InvalidDataError(
            f"Table {table.name!r} would get {counts['most']['_rows']} rows with the key {counts['most']['key']}. "
            f"Declare a key that follows from the key of raw table {table.source!r}."
        )
    return RowCounts(counts["valid"] or 0, counts["refused"] or 0)


def quarantine_rows(refused: DataFrame, *, now: datetime) -> DataFrame:
    """One row per refused row: where it was, the first column and value that do not fit, all reasons, the raw row."""
    first, row = F.col(REASONS)[0], F.col(ROW_NUMBER).cast("string")
    return refused.select(
        SOURCE_FILE,
        ROW_NUMBER,
        first["column"].alias("column"),
        first["value"].alias("value"),
        F.concat(F.col(SOURCE_FILE), F.lit(" row "), row, F.lit(": "), _sentences()).alias("reason"),
        F.to_json(RECORD, {"ignoreNullFields": "false"}).alias("record"),
        "batch_id",
        F.lit(now).alias("quarantined_at"),
    )


def most_frequent_reason(refused: DataFrame) -> str:
    """The column and reason that most of the refused rows have first; empty when there is none."""
    first = F.col(REASONS)[0]
    reasons = refused.groupBy(F.concat_ws(" ", first["column"], first["reason"]).alias("reason")).count()
    top = reasons.orderBy(F.desc("count"), "reason").first()
    return "" if top is None else str(top["reason"])


def _sentences() -> Column:
    """All reasons of a row in one text."""
    return F.array_join(F.transform(REASONS, _sentence), "; ")


def _sentence(misfit: Column) -> Column:
    value = F.concat(F.lit("'"), misfit["value"], F.lit("'"))
    return F.concat_ws(" ", misfit["column"], value, misfit["reason"])
