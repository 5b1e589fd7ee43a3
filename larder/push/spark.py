"""A push on Spark, for tables beyond one machine: the same bytes in Redis as a push in this process.

Each task reduces its share of the files to the latest row of each key; these rows are shuffled by key, and whoever
has all of a key writes it. The driver sees counts, and keys only where Redis holds some that the history does not.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from larder.offline.history import History
from larder.offline.join.shares import dealt
from larder.offline.join.spark import READABLE, history_rows, shuffle_partitions, task_errors
from larder.offline.join.tasks import PACKED, PART
from larder.offline.retrieval.reading import StoredRows
from larder.online.contents import count_entities, stored_keys
from larder.push.plan import Pushed, PushPlan, correcting_plan
from larder.push.quarantine import FUTURE, NULL_KEY
from larder.push.tasks import COUNTS, Work, keys_of_share, latest_in_files, latest_in_rows, write_share
from larder.push.write import Online, remove_records
from larder.spark.session import session_options

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def push_on_spark(
    online: Online,
    history: History,
    plan: PushPlan,
    instant: datetime,
    *,
    now: datetime,
    quarantine: str,
    address: str,
    session: "Callable[[], SparkSession]",
) -> Pushed:
    """As `push_here`, but reads everything when rows were taken away; `address` is Redis' as the executors reach it."""
    if plan.removed:
        plan = correcting_plan(history, plan.loss)
    spark = session()
    parts = shuffle_partitions(spark)
    bare = replace(plan, files=None)
    work = Work(history, bare, instant, now, quarantine, address, online.project, online.plan, parts)
    with session_options(spark, READABLE), task_errors():
        found = _latest(spark, work, plan).repartitionById(parts + 1, PART)
        counts = _written(found, work)
        removed = _remove_others(online, found, work, counts["entities"]) if plan.is_correcting else 0
    quarantined = {reason: counts[reason] for reason in (FUTURE, NULL_KEY) if counts[reason]}
    return Pushed(counts["written"], removed, quarantined)


def _latest(spark: "SparkSession", work: Work, plan: PushPlan) -> "DataFrame":
    schema = f"`{PART}` int, {PACKED} binary"
    if plan.files is None:
        rows = history_rows(spark, work.history, StoredRows(work.history, work.history.features))
        return rows.mapInArrow(partial(latest_in_rows, work), schema)
    shares = dealt(plan.files, work.parts)
    numbers = spark.range(0, len(shares), 1, numPartitions=max(1, len(shares)))
    return numbers.mapInArrow(partial(latest_in_files, work, shares), schema)


def _written(found: "DataFrame", work: Work) -> dict[str, int]:
    counts = found.mapInArrow(partial(write_share, work), ", ".join(f"`{name}` long" for name in COUNTS)).toArrow()
    return {name: sum(counts[name].to_pylist()) for name in COUNTS}


def _remove_others(online: Online, found: "DataFrame", work: Work, entities: int) -> int:
    """Delete records of entities that the history does not have. A record of each that it has was just written."""
    if count_entities(online.client, online.project, online.plan.name) == entities:
        return 0
    strays = set(stored_keys(online.client, online.project, online.plan.name))
    for row in found.mapInArrow(partial(keys_of_share, work), "key binary").toLocalIterator():
        strays.discard(bytes(row["key"]))
    return remove_records(online, sorted(strays))
