"""Raw rows by the instant at which they arrived, and the files that bring them in a replay."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

ARRIVES_AT, KEY, OUT_OF_TURN = "@arrives_at", "@key", "@out_of_turn"
_OWN = (ARRIVES_AT, KEY, OUT_OF_TURN)
_FILE = ["batch_id", SOURCE_FILE]
_PLACE = [*_FILE, ROW_NUMBER]
_WINDOW_TIME = "@window_time"
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class WindowTime:
    """When a window takes a row in."""

    column: str
    """Of the raw table's prepared rows: the timestamp of a view."""
    slide: timedelta
    """The window looks at its grid instants, multiples of it."""


@dataclass(frozen=True)
class Deliveries:
    """All rows of one raw table in the order of their arrival: texts as they came, and three columns more."""

    table: RawTable
    rows: pl.DataFrame
    """ARRIVES_AT (UTC; null: there from the beginning); KEY, the same for all rows about one event; OUT_OF_TURN, true
    for a row that corrects an earlier one or comes later than a window should have had it."""

    def between(self, start: datetime | None, end: datetime) -> pl.DataFrame:
        """Rows that arrive in (start, end]; without `start` also those that were there from the beginning."""
        at = pl.col(ARRIVES_AT)
        if start is None:
            return self.rows.filter(at.is_null() | (at <= end))
        return self.rows.filter(at.is_between(start, end, closed="right"))


def deliveries(
    spark: "SparkSession", ingestion: Ingestion, source: Lake, times: Mapping[str, Sequence[WindowTime]]
) -> dict[str, Deliveries]:
    """What the lake `source`, to which everything was ingested, holds in bronze, by raw table; so are `times`."""
    stored = StoredTables([table.name for table in ingestion.silver], source, spark)
    return {raw.name: _deliveries(spark, raw, stored, source, times.get(raw.name, ())) for raw in ingestion.raw}


def _deliveries(
    spark: "SparkSession",
    raw: RawTable,
    stored: Mapping[str, object],
    source: Lake,
    times: Sequence[WindowTime],
) -> Deliveries:
    from pyspark.sql import functions as F

    bronze = rows_after(spark, source.bronze(raw.name), -1)
    texts = bronze.select(*_PLACE, *(F.col(f"`{column.name}`") for column in raw.columns))
    valid = silver.with_status(typed_rows(bronze, raw), raw).where(F.col(silver.STATUS) != silver.REFUSED)
    # The key as ingestion compares it, not its text: 7 and 07 are one number.
    keyed = valid.withColumn(KEY, F.to_json(F.struct(*(F.col(f"`{name}`") for name in raw.key))))
    if raw.arrives_at is None:
        known = keyed.select(*_PLACE, KEY, F.lit(None).cast("timestamp").alias(ARRIVES_AT))
        times = ()
    else:
        prepared = silver.prepared_rows(keyed, raw, stored)
        wanted = [F.col(time.column).alias(f"{_WINDOW_TIME}{place}") for place, time in enumerate(times)]
        known = prepared.select(*_PLACE, KEY, F.col(raw.arrives_at).alias(ARRIVES_AT), *wanted)
    arrivals = _arrivals(pl.DataFrame(pl.from_arrow(known.toArrow())), [time.slide for time in times])
    rows = pl.DataFrame(pl.from_arrow(texts.toArrow())).join(arrivals, on=_PLACE, how="left")
    return Deliveries(raw, in_order_of_arrival(rows, [column.name for column in raw.columns]))


def _arrivals(prepared: pl.DataFrame, slides: Sequence[timedelta]) -> pl.DataFrame:
    """Per raw row its key, when it arrives, and whether that is after the first grid instant of a window it is in."""
    at = pl.col(ARRIVES_AT)
    late = [
        at > pl.col(f"{_WINDOW_TIME}{place}").dt.offset_by("-1us").dt.truncate(slide).dt.offset_by(_text(slide))
        for place, slide in enumerate(slides)
    ]
    is_late = pl.any_horizontal(pl.lit(False), *(one.fill_null(False) for one in late)).alias(OUT_OF_TURN)
    # A transform may make several rows of one.
    return prepared.group_by(_PLACE).agg(pl.col(KEY).first(), at.min(), is_late.any())


def _text(length: timedelta) -> str:
    return f"{length // timedelta(microseconds=1)}us"


def in_order_of_arrival(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """`columns`, ARRIVES_AT, KEY and OUT_OF_TURN of the rows that anybody ever saw.

    `rows` have their place (batch, file, row), and what `_arrivals` found; that is null in refused ones. Of the rows
    about one event a later file corrects those before it. A row whose correction arrives no later than itself was
    never seen, and one that says the same again has no news; both are left out.
    """
    at, key = pl.col(ARRIVES_AT), pl.col(KEY)
    # Rows that were refused have no instant of their own; they come with the row before them in their file.
    placed = rows.sort(_PLACE).with_columns(at.forward_fill().over(_FILE))
    seen = placed.with_columns(key.fill_null(pl.format("refused {} {} {}", *_PLACE)))
    beginning = at.fill_null(pl.lit(_BEGINNING).cast(rows.schema[ARRIVES_AT]))
    corrected_at = beginning.reverse().cum_min().reverse().shift(-1).over(KEY)
    seen = seen.filter(corrected_at.is_null() | (beginning < corrected_at))
    content = pl.struct(columns)
    is_correction = pl.int_range(pl.len()).over(KEY) > 0
    seen = seen.with_columns(is_correction.alias("@corrects"), (content == content.shift(1).over(KEY)).alias("@again"))
    seen = seen.filter(~(pl.col("@corrects") & pl.col("@again").fill_null(False)))
    out_of_turn = pl.col("@corrects") | pl.col(OUT_OF_TURN).fill_null(False)
    seen = seen.with_columns(out_of_turn.alias(OUT_OF_TURN)).sort(ARRIVES_AT, *_PLACE, nulls_last=False)
    return seen.select(*columns, *_OWN)


def latest(rows: pl.DataFrame) -> pl.DataFrame:
    """The last row about each event: of the rows in one file ingestion takes the first."""
    return rows.unique(KEY, keep="last", maintain_order=True)


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
    texts = rows.drop(_OWN)
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
