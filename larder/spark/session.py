"""The one Spark session, the same on a laptop and on a cluster.

Imports no pyspark by itself: the stores load this module also where only `larder[store]` is installed.
"""

import fcntl
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from larder.contracts.errors import DependencyError
from larder.contracts.settings import Settings
from larder.extras import importing
from larder.spark.java import java_home

if TYPE_CHECKING:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

DELTA = "4.4.0"
_JARS = ("io.delta:delta-spark_4.2_2.13", "io.delta:delta-storage")
# What Delta declares beyond these two is already in pyspark, or is for catalogs that nobody here uses.
_EXCLUDED = (
    "com.*:*", "commons-*:*", "io.airlift:*", "io.delta:delta-kernel*", "io.unitycatalog:*", "javax.*:*", "org.*:*",
)  # fmt: skip

_FIXED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    # Otherwise each column expression asks Java for settings and walks Python's stack.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
# On one machine the defaults made for clusters cost more than the work.
_LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
    # Planning anew after each stage compiles code anew: with few partitions there is nothing to gain from it.
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    # Two more jobs per read or write of a table, for logs and scans much longer than one machine has.
    "spark.databricks.delta.stats.skipping": "false",
    "spark.databricks.delta.writeChecksumFile.enabled": "false",
}


def spark_session(settings: Settings, app_name: str = "larder") -> "SparkSession":
    """The running session, or a new one: Delta Lake, UTC, everything it writes under `settings.state`.

    The first start on a machine downloads two JARs; what Java has to say goes to `<state>/spark/spark.log`.
    Raises DependencyError when pyspark, Java or the JARs cannot be had.
    """
    with importing("Spark"):
        from pyspark import SparkConf
        from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    with _one_download_at_a_time(settings):
        conf = SparkConf().setAll(list(configuration(settings).items())).setAppName(app_name)
        _launch(conf, settings)
    return SparkSession.builder.getOrCreate()


@contextmanager
def session_options(spark: "SparkSession", options: Mapping[str, str]) -> Iterator[None]:
    """Set session options for the block, then put back what was there."""
    before = {name: spark.conf.get(name, None) for name in options}
    for name, value in options.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, old)


def configuration(settings: Settings) -> dict[str, str]:
    """Spark's options for these settings."""
    place = _place(settings)
    options = _FIXED | {
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_memory,
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.sql.warehouse.dir": (place / "warehouse").as_uri(),
        "spark.local.dir": str(place / "tmp"),
    }
    if settings.spark_master.startswith("local"):
        options |= _LOCAL
    return options | _jar_options(settings)


def _place(settings: Settings) -> Path:
    return settings.state.absolute() / "spark"


def _jar_options(settings: Settings) -> dict[str, str]:
    """The JARs as files once they are there; before that, their coordinates for Spark to fetch."""
    files = _jar_files(settings)
    if _are_whole(files):
        return {"spark.jars": ",".join(file.as_uri() for file in files)}
    return {
        "spark.jars.packages": ",".join(f"{name}:{DELTA}" for name in _JARS),
        "spark.jars.excludes": ",".join(_EXCLUDED),
        "spark.jars.ivy": str(_ivy(settings)),
    }


def _ivy(settings: Settings) -> Path:
    return settings.state.absolute() / "ivy"


def _jar_files(settings: Settings) -> list[Path]:
    return [_ivy(settings) / "jars" / f"{name.replace(':', '_')}-{DELTA}.jar" for name in _JARS]


def _are_whole(files: list[Path]) -> bool:
    # A download that was cut short leaves a file without the directory at a zip's end.
    return all(zipfile.is_zipfile(file) for file in files)


@contextmanager
def _one_download_at_a_time(settings: Settings) -> Iterator[None]:
    """Two first sessions at once would download into the same files; the second waits and finds them there."""
    if _are_whole(_jar_files(settings)):
        yield
        return
    _ivy(settings).mkdir(parents=True, exist_ok=True)
    with open(_ivy(settings) / "download.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _launch(conf: "SparkConf", settings: Settings) -> None:
    """Start Java and the context with Java's messages going to a file."""
    from pyspark import SparkContext
    from pyspark.errors import PySparkRuntimeError
    from pyspark.java_gateway import launch_gateway

    place = _place(settings)
    (place / "tmp").mkdir(parents=True, exist_ok=True)
    home = java_home(settings.state.absolute())
    if home is not None:
        os.environ["JAVA_HOME"] = str(home)
    # Spark's own default is whatever `python3` is first on the path, outside the environment of this process.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    log = place / "spark.log"
    with log.open("wb") as messages:
        try:
            gateway = launch_gateway(conf, {"stderr": messages, "stdout": messages})
        except PySparkRuntimeError as problem:
            raise DependencyError(_explained(log)) from problem
    SparkContext(conf=conf, gateway=gateway)


def _explained(log: Path) -> str:
    text = log.read_text(errors="replace")
    if "unresolved dependency" in text or "UNRESOLVED DEPENDENCIES" in text:
        return (
            f"Spark could not download {', '.join(f'{name}:{DELTA}' for name in _JARS)} from Maven Central; "
            f"{log} says why. Connect this machine once, or name a mirror as spark.jars.repositories "
            "in spark-defaults.conf."
        )
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "it left no message")
    return f"Spark did not start: {last.strip()} (more in {log}). Check Java and LARDER_SPARK_MEMORY."
