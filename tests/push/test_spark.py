"""A push on Spark leaves the same bytes in Redis as one in this process."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from deltalake import DeltaTable

from larder.contracts.settings import Settings
from larder.online.server.embedded import online_address
from larder.push.embedded import push_here
from larder.push.run import Engine, PushReport, push_history
from larder.push.spark import push_on_spark
from tests.push.history import Row, Table, at, history, online, rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOW = at(100)


def bytes_of(client: redis.Redis) -> dict[bytes, bytes | None]:
    keys = sorted(key for key in client.scan_iter() if not key.endswith(b"position"))
    return dict(zip(keys, client.mget(keys), strict=True)) if keys else {}


def user(number: int, minutes: int, score: float | None) -> Row:
    return (f"user {number}", minutes, minutes, score)


def steps(
    table: Table, engine: Engine, client: redis.Redis
) -> tuple[list[PushReport], list[dict[bytes, bytes | None]]]:
    """What each push of one history reported, and left in Redis."""
    reports, left = [], []

    def push(minutes: int) -> None:
        reports.append(push_history(online(client), history(table.place), engine, instant=at(minutes), now=NOW))
        left.append(bytes_of(client))

    client.flushall()
    table.append([user(number, number % 7, float(number)) for number in range(300)])
    push(20)
    table.append([user(number, 3, None) for number in range(100, 400)] + [("user 1", 1, 1, 50.0), (None, 1, 1, 1.0)])
    push(20)
    DeltaTable(table.place).delete("score > 250 OR score = 50")
    table.append([user(7, 500, 1.0)])
    push(30)
    return reports, left


def test_first_push_late_rows_ties_and_deletes_give_the_same_bytes_and_counts(
    redis_client: redis.Redis, redis_settings: Settings, spark: "SparkSession", tmp_path: Path
):
    address = online_address(redis_settings)
    first = [user(0, 1, 1.0), ("", 2, 2, 2.0)]
    on_spark, here = Table.made(tmp_path / "spark", first), Table.made(tmp_path / "here", first)
    spark_engine = partial(
        push_on_spark, now=NOW, quarantine=f"{on_spark.place}_q", address=address, session=lambda: spark
    )
    spark_reports, spark_left = steps(on_spark, spark_engine, redis_client)
    reports, left = steps(here, partial(push_here, now=NOW, quarantine=f"{here.place}_q"), redis_client)

    assert spark_left == left
    assert spark_reports[:2] == reports[:2]  # the third reads everything on Spark, and here what changed
    assert (spark_reports[2].removed, spark_reports[2].note) == (reports[2].removed, reports[2].note)
    assert [report.quarantined for report in reports] == [{}, {"no key": 1}, {"future-dated": 1}]
    assert reports[2].removed == 1 and len(left[2]) == 400  # user 50; a value of user 1 went back


def test_a_table_with_deletion_vectors_is_pushed_the_same_way_by_both(
    redis_client: redis.Redis, redis_settings: Settings, spark: "SparkSession", tmp_path: Path
):
    place, address = str(tmp_path / "scores"), online_address(redis_settings)
    given = [user(number, 1, float(number)) for number in range(6)]
    frame = spark.createDataFrame(rows(*given)).coalesce(1).write.format("delta")
    frame.option("delta.enableDeletionVectors", "true").save(place)
    on_spark = partial(push_on_spark, now=NOW, quarantine=f"{place}_q", address=address, session=lambda: spark)
    here = partial(push_here, now=NOW, quarantine=f"{place}_q")

    def pushed(engine: Engine) -> str:
        return push_history(online(redis_client), history(place), engine, instant=at(9), now=NOW).note

    pushed(on_spark)
    spark.sql(f"DELETE FROM delta.`{place}` WHERE score IN (2.0, 4.0)")
    note, by_spark = pushed(on_spark), bytes_of(redis_client)
    redis_client.flushall()
    pushed(here)

    assert "DELETE in version 1" in note
    assert bytes_of(redis_client) == by_spark and len(by_spark) == 4


def test_a_table_with_column_mapping_is_pushed_the_same_way_by_both(
    redis_client: redis.Redis, redis_settings: Settings, spark: "SparkSession", tmp_path: Path
):
    place, address = str(tmp_path / "scores"), online_address(redis_settings)
    frame = spark.createDataFrame(rows(user(1, 1, 1.0), user(2, 1, 2.0))).withColumnRenamed("score", "old name")
    frame.write.format("delta").option("delta.columnMapping.mode", "name").save(place)
    spark.sql(f"ALTER TABLE delta.`{place}` RENAME COLUMN `old name` TO score")
    on_spark = partial(push_on_spark, now=NOW, quarantine=f"{place}_q", address=address, session=lambda: spark)
    here = partial(push_here, now=NOW, quarantine=f"{place}_q")

    def pushed(engine: Engine) -> int:
        return push_history(online(redis_client), history(place), engine, instant=at(9), now=NOW).written

    assert pushed(on_spark) == 2
    by_spark = bytes_of(redis_client)
    redis_client.flushall()
    assert pushed(here) == 2
    assert bytes_of(redis_client) == by_spark


def test_tasks_load_neither_feast_nor_spark():
    code = "import sys, larder.push.tasks; print({'feast', 'pyspark'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "set()"
