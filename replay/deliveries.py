"""Raw rows by the instant at which they arrived, and the files that bring them in a replay."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from larder.contracts.ingestion import ROW_NUMBER, SOURCE_FILE, Ingestion, RawTable
from larder.contracts.tables import Lake
from pipelines import silver
from pipelines.bronze import rows_after
from pipelines.ingest import StoredTables
from pipelines.typed import typed_rows
from replay.incidents import Incident, changed_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARRIVES_AT = "@arrives_at"
_PLACE = [SOURCE_FILE, ROW_NUMBER]


@dataclass(frozen=True)
class Deliveries:
    """All rows of one raw table in the order of their arrival; texts as they came, and ARRIVES_AT (UTC)."""

    table: RawTable
    rows: pl.DataFrame
    """Null in ARRIVES_AT: there from the beginning."""

    def between(self, start: datetime | None, end: datetime) -> pl.DataFrame:
        """Rows that arrive in [start, end); without `start` also those that were there from the beginning."""
        at = pl.col(ARRIVES_AT)
        if start is None:
            return self.rows.filter(at.is_null() | (at < end))
        return self.rows.filter(at.is_between(start, end, closed="left"))


def deliveries(spark: "SparkSession", ingestion: Ingestion, source: Lake) -> dict[str, Deliveries]:
    """What the lake `source`, to which everything was ingested, holds in bronze, by raw table."""
    stored = StoredTables([table.name for table in ingestion.silver], source, spark)
    return {raw.name: _deliveries(spark, raw, stored, source) for raw in ingestion.raw}


def _deliveries(spark: "SparkSession", raw: RawTable, stored: Mapping[str, object], source: Lake) -> Deliveries:
    from pyspark.sql import functions as F

    bronze = rows_after(spark, source.bronze(raw.name), -1)
    columns = [column.name for column in raw.columns]
    rows = bronze.select(*_PLACE, *(F.col(f"`{name}`") for name in columns))
    if raw.arrives_at is None:
        rows = rows.withColumn(ARRIVES_AT, F.lit(None).cast("timestamp"))
    else:
        accepted = silver.with_status(typed_rows(bronze, raw), raw).where(F.col(silver.STATUS) == silver.ACCEPTED)
        prepared = silver.prepared_rows(accepted, raw, stored)
        instants = prepared.select(*_PLACE, F.col(raw.arrives_at).alias(ARRIVES_AT))
        rows = rows.join(instants, on=_PLACE, how="left")
    found = pl.DataFrame(pl.from_arrow(rows.toArrow()))
    # Rows that were refused have no instant of their own; they come with the row before them in their file.
    ordered = found.sort(_PLACE).with_columns(pl.col(ARRIVES_AT).forward_fill().over(SOURCE_FILE))
    return Deliveries(raw, ordered.sort(ARRIVES_AT, *_PLACE, nulls_last=False).select(*columns, ARRIVES_AT))


def with_incidents(rows: pl.DataFrame, table: str, incidents: Sequence[Incident]) -> pl.DataFrame:
    """The rows with the raw numbers that `wrong_unit` and `shift` leave of them."""
    for incident in incidents:
        if incident.kind in ("wrong_unit", "shift") and incident.table == table:
            rows = _changed(rows, incident)
    return rows


def write_file(rows: pl.DataFrame, table: RawTable, folder: Path, number: int) -> Path | None:
    """A raw file with the rows, named as the table's pattern asks; None without rows."""
    if rows.is_empty():
        return None
    path = folder / table.files.replace("*", f"-{number:04}").removesuffix(".zip").removesuffix(".gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = rows.drop(ARRIVES_AT)
    match path.suffix:
        case ".parquet":
            texts.write_parquet(path)
        case ".jsonl" | ".ndjson":
            texts.write_ndjson(path)
        case _:
            texts.write_csv(path, separator=table.separator, null_value=table.null_values[0])
    return path


def shuffled(rows: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    order = list(range(rows.height))
    random.Random(seed).shuffle(order)
    return rows[order]


def _changed(rows: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    at = pl.col(ARRIVES_AT)
    place = pl.int_range(pl.len()).hash(incident.seed) % 1_000_000
    is_hit = at.is_between(incident.start, incident.end, closed="left") & (place < int(incident.share * 1_000_000))
    for column, text in incident.where.items():
        is_hit &= pl.col(column) == text
    hit = rows.select(is_hit.fill_null(False)).to_series().to_list()
    columns = []
    for name in incident.columns:
        texts = [
            changed_text(text, incident) if chosen else text
            for text, chosen in zip(rows[name].to_list(), hit, strict=True)
        ]
        columns.append(pl.Series(name, texts, dtype=pl.String))
    return rows.with_columns(columns)
