"""Bringing a view's gold table up to its events: on Spark, append only, nothing done when nothing changed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable

from larder.compute.corrections import Run
from larder.compute.definition import MICROSECOND, WindowDefinition
from larder.compute.events import EventSource, check_events
from larder.compute.gold_files import FILES, commit_files
from larder.compute.position import GoldPosition, opened_gold, position_in
from larder.compute.task import gold_schema, refresh_task
from larder.contracts.errors import ConfigurationError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.delta_table import open_table

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

EVENTS_PER_TASK = 200_000
"""So that one task's events and rows fit into a gigabyte."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Refresh:
    """What one refresh did."""

    position: GoldPosition
    appended: int
    """Rows added to gold."""
    live_since: datetime | None = None
    """The refresh before a live one: rows after it count as known only from this one on. None for a backfill."""


def refresh_gold(
    session: "Callable[[], SparkSession]",
    definition: WindowDefinition,
    source: EventSource,
    gold: str,
    *,
    until: datetime,
    is_live: bool,
) -> Refresh:
    """Append to the table `gold` what it lacks up to `until`, this instant included.

    `is_live` says that rows after the previous refresh become known only at `until`; otherwise they are a
    backfill, known as if the run had been on time. Corrections are always known from `until` on. `session` is
    called only when there is something to compute. Raises ConfigurationError when `gold` was built from another
    definition, and what `check_events` and `commit_files` raise.
    """
    stored = opened_gold(gold)
    previous = None if stored is None else position_in(stored)
    events = open_table(source.table, source.version)
    check_events(source, pa.schema(events.schema().to_arrow()), definition)
    if stored is not None and previous is not None:
        _check_definition(previous, definition, gold)
        _check_layout(stored, gold)
        is_same_source = (previous.source, previous.source_version) == (source.table, events.version())
        if is_same_source and until <= previous.instant:
            return Refresh(previous, 0)
    position = GoldPosition(
        source=source.table,
        source_version=events.version(),
        instant=until if previous is None else max(until, previous.instant),
        fingerprint=definition.fingerprint,
        refresh=1 if previous is None else previous.refresh + 1,
    )
    run = Run(_microseconds(until), None if previous is None else _microseconds(previous.instant), is_live)
    spark = session()
    rows = _events(spark, source, events.version(), definition)
    if stored is not None:
        rows = rows.unionByName(_stored(spark, gold, stored.version(), definition), allowMissingColumns=True)
    tasks = _tasks(spark, events.count())
    files = _written(rows.repartition(tasks, *definition.keys), definition, run, gold)
    commit_files(files, gold, gold_schema(definition), position, onto=stored)
    live_since = previous.instant if previous is not None and is_live else None
    return Refresh(position, sum(files["rows"].to_pylist()), live_since)


def _check_definition(previous: GoldPosition, definition: WindowDefinition, gold: str) -> None:
    if previous.fingerprint != definition.fingerprint:
        raise ConfigurationError(
            f"Feature view {definition.view!r} declares other windows, types or columns than {gold} was built from. "
            "Gold is append-only history, so give the changed view a new name; or, if nothing relies on the old "
            f"values, delete {gold} and run again to rebuild it."
        )


def _check_layout(stored: DeltaTable, gold: str) -> None:
    """Files are written as the definition names their columns, and into the table's own folder."""
    metadata = stored.metadata()
    if metadata.partition_columns or metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
        raise ConfigurationError(
            f"{gold} was given partitions or column mapping, so nothing can be appended to it. Delete it and run again "
            "to rebuild it, or give the view a new name."
        )


def _events(spark: "SparkSession", source: EventSource, version: int, definition: WindowDefinition) -> "DataFrame":
    """One row per event: the keys, and the rest as one column."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_type

    def column(name: str) -> "Column":
        return F.col(f"`{source.column(name)}`")

    table = spark.read.format("delta").option("versionAsOf", version).load(source.table)
    keys = [column(name).cast(from_arrow_type(dtype)).alias(name) for name, dtype in definition.keys.items()]
    rest = [column(name).alias(name) for name in dict.fromkeys((definition.timestamp, *definition.columns))]
    return table.select(*keys, F.struct(*rest).alias("event"))


def _stored(spark: "SparkSession", gold: str, version: int, definition: WindowDefinition) -> "DataFrame":
    """One row per row of gold: the keys, and the rest as one column."""
    from pyspark.sql import functions as F

    names = (EVENT_TIMESTAMP, KNOWN_AT, *(feature.name for feature in definition.features))
    table = spark.read.format("delta").option("versionAsOf", version).load(gold)
    return table.select(*definition.keys, F.struct(*names).alias("gold"))


def _written(rows: "DataFrame", definition: WindowDefinition, run: Run, gold: str) -> pa.Table:
    """The files that the tasks wrote, with the schema FILES."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return rows.mapInArrow(partial(refresh_task, definition, run, gold), from_arrow_schema(FILES)).toArrow()


def _tasks(spark: "SparkSession", events: int) -> int:
    """Whole rounds of the cores at hand; one task for what is not worth dividing."""
    cores = spark.sparkContext.defaultParallelism
    return 1 if events < EVENTS_PER_TASK // 10 else cores * -(-events // (EVENTS_PER_TASK * cores))


def _microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND
