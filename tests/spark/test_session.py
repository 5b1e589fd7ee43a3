"""One session: Delta, UTC, a Java that fits, and nothing written outside the state folder."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from larder.contracts.settings import Settings
from larder.spark import java
from larder.spark.session import configuration


def test_spark_writes_what_deltalake_reads_as_utc_microseconds(spark: SparkSession, tmp_path: Path) -> None:
    table = str(tmp_path / "a table")
    spark.sql("SELECT TIMESTAMP '2013-03-10 07:00:00.000001' AS at").write.format("delta").save(table)

    stored = DeltaTable(table).to_pyarrow_table()

    assert stored.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert stored["at"].to_pylist() == [datetime(2013, 3, 10, 7, 0, 0, 1, tzinfo=UTC)]


def test_the_stores_load_where_only_their_own_extra_is_installed() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(('pyspark', 'delta', 'mlflow', 'sklearn', 'onnxruntime'))\n"
        "from larder.offline import DeltaOfflineStore, DeltaSource\n"
        "from larder.online import RedisOnlineStore\n"
        "from larder.compute import SparkFeatureEngine\n"
    )

    loaded = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)

    assert loaded.returncode == 0, loaded.stderr


def test_all_that_spark_writes_lies_under_the_state_folder(spark: SparkSession, spark_settings: Settings) -> None:
    state = str(spark_settings.state)

    assert str(spark.conf.get("spark.local.dir")).startswith(state)
    assert str(spark.conf.get("spark.sql.warehouse.dir")).startswith(f"file:{quote(state)}")
    assert not Path("spark-warehouse").exists()
    assert not Path("metastore_db").exists()


def test_jars_are_fetched_once_and_a_download_cut_short_is_fetched_again(
    spark: SparkSession, spark_settings: Settings, tmp_path: Path
) -> None:
    assert "%20" in configuration(spark_settings)["spark.jars"]
    empty = replace(spark_settings, state=tmp_path)
    assert "spark.jars" not in configuration(empty)

    for jar in (spark_settings.state / "ivy" / "jars").glob("io.delta_delta-s*.jar"):
        (tmp_path / "ivy" / "jars").mkdir(parents=True, exist_ok=True)
        (tmp_path / "ivy" / "jars" / jar.name).write_bytes(jar.read_bytes()[:1000])
    assert "delta-storage" in configuration(empty)["spark.jars.packages"]


def test_an_old_java_gives_way_to_the_wheel_without_the_module_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old java" / "bin" / "java"
    old.parent.mkdir(parents=True)
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(old.parent.parent))

    home = java.java_home(tmp_path / "a state")

    assert home is not None
    command = [home / "bin" / "java", "--add-modules=jdk.incubator.vector", "-Dmy.property=a b", "-version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "incubator" not in answer.stderr
