"""Bar P6: 4 windows x 4 functions of a Delta table of events, on Spark, into a Delta table.

100,000 keys and a grid of 5 minutes; 1 million events, then ten times as many. A peer computes the same features at
the same instants by plain SQL with one frame per window, at the smaller size: DuckDB to Parquet where it is
installed, else Spark to Delta. Both must give the same number of rows. Then a thousand events of the next five minutes
arrive, five times, and each time a refresh brings gold up to the end of these minutes.

    python benchmarks/windows.py [--quick]
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.events import EventSource
from larder.compute.refresh.gold import refresh_gold
from larder.contracts.settings import load_settings
from larder.offline.tables.kinds import INSTANT
from larder.peak_memory import PeakMemory
from larder.spark.session import spark_session

SLIDE = timedelta(minutes=5)
WINDOWS = {"1h": 12, "6h": 72, "1d": 288, "7d": 2016}
FUNCTIONS = {"count": "count", "sum": "sum", "mean": "avg", "max": "max"}
"""Our name of each function and SQL's."""
KEYS = 100_000
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 31, tzinfo=UTC)
UNTIL = END + timedelta(days=8)
"""Every event has left every window by then."""
INCREMENTS, EVENTS_PER_INCREMENT = 5, 1_000

SQL = """
    WITH ticks AS (SELECT key, CAST(ceil({microseconds}(events.at) / 3e8) AS INT) AS tick, value FROM events),
    points AS (
        SELECT key, tick, value, false AS is_instant FROM ticks
        UNION ALL
        SELECT DISTINCT key, tick + shift, CAST(NULL AS DOUBLE), true
        FROM ticks CROSS JOIN (VALUES (0), {shifts}) AS shifts(shift)
    ),
    features AS (SELECT key, tick, is_instant, {columns} FROM points WINDOW {windows})
    SELECT * FROM features WHERE is_instant
"""

Work = Callable[[Path, Path], None]
"""Reads a table of events, writes a table of features."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, one run")
    events, runs = (100_000, 1) if parser.parse_args().quick else (1_000_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_bar(Path(folder), events, runs)), flush=True)


def _bar(folder: Path, events: int, runs: int) -> dict[str, object]:
    spark = _session(folder)
    small, large = folder / "events", folder / "events_10x"
    _write_events(small, events)
    _write_events(large, 10 * events)
    ours = _ours(spark)
    peer_name, peer = _peer(spark)
    _seconds(ours, small, folder / "warm")
    with PeakMemory(os.getpid(), every_seconds=0.5) as peak:
        pairs = [(_seconds(ours, small, folder / "ours"), _seconds(peer, small, folder / "peer")) for _ in range(runs)]
        rows, peer_rows = _rows(folder / "ours"), _rows(folder / "peer")
        growing = _seconds(ours, large, folder / "ours_10x")
        increments = _increments(spark, small, folder / "ours_live")
    spark.stop()
    if rows != peer_rows:
        raise SystemExit(f"We wrote {rows:,} rows and {peer_name} {peer_rows:,}; the times mean nothing.")
    seconds, peer_seconds = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "bar": "P6",
        "growth_10x": round(growing / seconds, 2),
        "peer": peer_name,
        "ratio_to_peer": round(peer_seconds / seconds, 2),
        "seconds": round(seconds, 2),
        "seconds_10x": round(growing, 2),
        "peer_seconds": round(peer_seconds, 2),
        "increment_seconds": round(statistics.median(increments), 2),
        "peak_memory_gb": round(peak.bytes / 1e9, 2),
        "events": events,
        "rows": rows,
    }


def _definition() -> WindowDefinition:
    features = tuple(
        WindowFeature(f"{ours}_{name}", "value", ours, slides, pa.int64() if ours == "count" else pa.float64())
        for ours in FUNCTIONS
        for name, slides in WINDOWS.items()
    )
    slide = SLIDE // timedelta(microseconds=1)
    return WindowDefinition("benchmark", {"key": pa.int64()}, "at", slide, features)


def _ours(spark: SparkSession, *, until: datetime = UNTIL) -> Work:
    def refresh(events: Path, gold: Path) -> None:
        source = EventSource(str(events))
        refresh_gold(lambda: spark, _definition(), source, str(gold), until=until, is_live=False, spark_from_rows=0)

    return refresh


def _increments(spark: SparkSession, events: Path, gold: Path) -> list[float]:
    """Seconds of each refresh; the first of the table, up to END, does not count."""
    _ours(spark, until=END)(events, gold)
    generator, at, seconds = np.random.default_rng(11), END, []
    for _ in range(INCREMENTS):
        _append_events(events, generator, EVENTS_PER_INCREMENT, at, at + SLIDE)
        at += SLIDE
        started = time.perf_counter()
        refresh_gold(lambda: spark, _definition(), EventSource(str(events)), str(gold), until=at, is_live=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def _peer(spark: SparkSession) -> tuple[str, Work]:
    if importlib.util.find_spec("duckdb"):
        return "DuckDB to Parquet", _duckdb

    def spark_sql(events: Path, features: Path) -> None:
        spark.read.format("delta").load(str(events)).createOrReplaceTempView("events")
        spark.sql(_sql("unix_micros")).write.format("delta").save(str(features))

    return "Spark SQL frames to Delta", spark_sql


def _duckdb(events: Path, features: Path) -> None:
    import duckdb  # type: ignore[import-not-found]

    features.mkdir()
    with duckdb.connect() as connection:
        connection.register("events", pa.table(DeltaTable(str(events)).to_pyarrow_table()))
        connection.execute(f"COPY ({_sql('epoch_us')}) TO '{features}/features.parquet' (FORMAT parquet)")


def _sql(microseconds: str) -> str:
    columns = [
        f"{theirs}(value) OVER over_{name} AS {ours}_{name}" for ours, theirs in FUNCTIONS.items() for name in WINDOWS
    ]
    windows = [
        f"over_{name} AS (PARTITION BY key ORDER BY tick RANGE BETWEEN {slides - 1} PRECEDING AND CURRENT ROW)"
        for name, slides in WINDOWS.items()
    ]
    shifts = ", ".join(f"({slides})" for slides in WINDOWS.values())
    return SQL.format(microseconds=microseconds, shifts=shifts, columns=", ".join(columns), windows=", ".join(windows))


def _session(folder: Path) -> SparkSession:
    settings = load_settings()
    jars = settings.state.absolute() / "ivy"
    if jars.is_dir():
        (folder / "ivy").symlink_to(jars, target_is_directory=True)
    return spark_session(replace(settings, state=folder, spark_master="local[2]"), app_name="larder-benchmark")


def _write_events(table: Path, rows: int) -> None:
    _append_events(table, np.random.default_rng(7), rows, START, END)


def _append_events(table: Path, generator: np.random.Generator, rows: int, start: datetime, end: datetime) -> None:
    first, last = (int(instant.timestamp() * 1e6) for instant in (start, end))
    events = {
        "key": generator.integers(0, KEYS, rows),
        "at": pa.array(generator.integers(first, last, rows)).cast(INSTANT),
        "value": generator.normal(10, 40, rows),
    }
    write_deltalake(str(table), pa.table(events), mode="append")


def _seconds(work: Work, events: Path, features: Path) -> float:
    shutil.rmtree(features, ignore_errors=True)
    started = time.perf_counter()
    work(events, features)
    return time.perf_counter() - started


def _rows(features: Path) -> int:
    if DeltaTable.is_deltatable(str(features)):
        return int(DeltaTable(str(features)).to_pyarrow_dataset().count_rows())
    return int(pa.dataset.dataset(features).count_rows())


if __name__ == "__main__":
    main()
