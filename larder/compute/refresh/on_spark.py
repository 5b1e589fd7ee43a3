"""A refresh on Spark: the rows of each key meet in one task, which writes what gold lacks of them."""

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from larder.compute.definition import WindowDefinition
from larder.compute.refresh.corrections import Run
from larder.compute.refresh.gold_files import FILES
from larder.compute.refresh.inputs import Inputs
from larder.compute.refresh.task import refresh_task
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.join.spark import task_errors

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

ROWS_PER_TASK = 200_000
"""So that one task's rows and what comes of them fit into a gigabyte."""


def written_on_spark(
    spark: "SparkSession", definition: WindowDefinition, run: Run, inputs: Inputs, gold: str, *, work: int | None
) -> pa.Table:
    """The files that the tasks wrote, with the schema FILES; `work` is that of the inputs."""
    from pyspark.sql.pandas.types import from_arrow_schema

    rows = _events(spark, definition, inputs)
    if inputs.stored is not None:
        stored = _table(spark, gold, inputs.stored.version())
        rows = rows.unionByName(_gold(stored, definition, inputs.gold_from), allowMissingColumns=True)
    # Without keys all rows belong to one: dealt out by turns they would not meet.
    tasks = _tasks(spark, work or inputs.events.count()) if definition.keys else 1
    by_key = rows.repartition(tasks, *definition.keys)
    with task_errors():
        return by_key.mapInArrow(partial(refresh_task, definition, run, gold), from_arrow_schema(FILES)).toArrow()


def _events(spark: "SparkSession", definition: WindowDefinition, inputs: Inputs) -> "DataFrame":
    """One row per event: the keys, and the rest as one column."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_type

    def column(name: str) -> "Column":
        return F.col(f"`{inputs.source.column(name)}`")

    table = _table(spark, inputs.source.table, inputs.events.version())
    keys = [column(name).cast(from_arrow_type(dtype)).alias(name) for name, dtype in definition.keys.items()]
    rest = [column(name).alias(name) for name in dict.fromkeys((definition.timestamp, *definition.columns))]
    return _since(table, column(definition.timestamp), inputs.events_from).select(*keys, F.struct(*rest).alias("event"))


def _gold(stored: "DataFrame", definition: WindowDefinition, since: int | None) -> "DataFrame":
    """One row per row of gold: the keys, and the rest as one column."""
    from pyspark.sql import functions as F

    names = (EVENT_TIMESTAMP, KNOWN_AT, *(feature.name for feature in definition.features))
    rows = _since(stored, F.col(EVENT_TIMESTAMP), since)
    return rows.select(*definition.keys, F.struct(*names).alias("gold"))


def _table(spark: "SparkSession", place: str, version: int) -> "DataFrame":
    return spark.read.format("delta").option("versionAsOf", version).load(place)


def _since(rows: "DataFrame", time: "Column", since: int | None) -> "DataFrame":
    from pyspark.sql import functions as F

    return rows if since is None else rows.where(time >= F.timestamp_micros(F.lit(since)))


def _tasks(spark: "SparkSession", rows: int) -> int:
    """Whole rounds of the cores at hand; one task for what is not worth dividing."""
    cores = spark.sparkContext.defaultParallelism
    return 1 if rows < ROWS_PER_TASK // 10 else cores * -(-rows // (ROWS_PER_TASK * cores))
