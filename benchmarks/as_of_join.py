"""Bars P1 and P2: the as-of join of labels with a feature view's history, in one process and on Spark.

Every contender gets the same labels as a pandas frame and the same rows, and gives Arrow; each runs in a process of its
own, in turn, and joins twice. Time counts from the call to the result of the second join, and `first_seconds` says
what the first one took, in which Java still compiles; imports and the start of Spark are left out. The limits
are the joins that polars and DuckDB make without a feature store. Answers must be equal to the limit's, to the last
bit.

    python benchmarks/as_of_join.py [--quick] [--bar P1] [--growth PLOT.svg]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake
from race import raced

FEATURES = ("f0", "f1", "f2", "f3")
INSTANT = pa.timestamp("us", tz="UTC")
START, YEAR = 1_600_000_000_000_000, 365 * 86_400_000_000
FEAST_LIMIT_SECONDS = 300
"""After so long Feast is stopped; its time then counts as this."""
PATIENCE_SECONDS = 60
"""A join of Feast that takes longer is timed once, a faster one as often as ours."""


@dataclass(frozen=True)
class Size:
    """Rows of history in ten commits in order of time, as a table grows, and the labels that ask for them."""

    rows: int
    keys: int
    labels: int
    hot_share: float = 0.0
    """Share of rows and labels that belong to one key."""


@dataclass(frozen=True)
class Outcome:
    first_seconds: float
    seconds: float
    """Of the second join."""
    peak_memory_gb: float
    """Of the process and all that it started."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one run")
    parser.add_argument("--bar", choices=("P1", "P2-10", "P2"), help="this bar alone")
    parser.add_argument("--growth", type=Path, metavar="PLOT", help="also time 1M to 30M rows and draw them")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        _compete(CONTENDERS[arguments.contender], arguments.folder)
        return
    unit, runs = (100_000, 1) if arguments.quick else (1_000_000, 3)
    if arguments.growth:
        _draw_growth([_growth(unit, factor) for factor in (1, 3, 10, 30)], arguments.growth)
    one_process = Size(10 * unit, unit // 10, unit)
    few, many = Size(10 * unit, unit, unit, hot_share=0.05), Size(10 * unit, unit // 10, unit, hot_share=0.05)
    bars: dict[str, tuple[Size, str, tuple[str, ...], str]] = {
        "P1": (one_process, "larder", ("polars", "duckdb"), "feast_duckdb"),
        "P2-10": (few, "larder_spark", ("duckdb",), "feast_spark"),
        "P2": (many, "larder_spark", ("duckdb",), "feast_spark"),
    }
    for name in [arguments.bar] if arguments.bar else bars:
        print(json.dumps({"bar": name} | _measured(*bars[name], runs)), flush=True)


def _measured(size: Size, ours: str, limits: tuple[str, ...], feast: str, runs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        _write_data(Path(folder), size)
        seen: dict[str, list[Outcome]] = {contender: [] for contender in (ours, *limits)}
        for _ in range(runs):
            for contender, outcomes in seen.items():
                outcomes.append(_raced(contender, Path(folder)))
        for limit in limits:
            _require_equal(Path(folder), ours, limit)
        seen[feast] = [_raced(feast, Path(folder))]
        if seen[feast][0].seconds < PATIENCE_SECONDS:
            seen[feast] += [_raced(feast, Path(folder)) for _ in range(runs - 1)]
    seconds = {contender: statistics.median(item.seconds for item in outcomes) for contender, outcomes in seen.items()}
    limit = min(limits, key=seconds.__getitem__)
    return {
        "ratio_to_feast": round(seconds[feast] / seconds[ours], 2),
        "ratio_to_limit": round(seconds[ours] / seconds[limit], 2),
        "seconds": round(seconds[ours], 2),
        "first_seconds": round(statistics.median(item.first_seconds for item in seen[ours]), 2),
        "peak_memory_gb": round(max(item.peak_memory_gb for item in seen[ours]), 2),
        "rows": size.rows,
        "labels": size.labels,
        "keys": size.keys,
        "limit": limit,
        "limit_seconds": {contender: round(seconds[contender], 2) for contender in limits},
        "feast_seconds": round(seconds[feast], 2),
        "feast_is_finished": seconds[feast] < FEAST_LIMIT_SECONDS,
        "feast_memory_gb": round(max(item.peak_memory_gb for item in seen[feast]), 2),
    }


def _raced(contender: str, folder: Path) -> Outcome:
    run = raced(__file__, contender, folder, limit_seconds=2 * FEAST_LIMIT_SECONDS)
    times = run.printed or [FEAST_LIMIT_SECONDS] * 2
    first, second = (min(seconds, FEAST_LIMIT_SECONDS) for seconds in times)
    return Outcome(first, second, run.peak_memory_gb)


def _compete(contender: Callable[[Path], Callable[[pd.DataFrame], pa.Table]], folder: Path) -> None:
    """In a process of its own: get ready, join, keep the answers where they can be compared."""
    warnings.simplefilter("ignore")
    labels = pq.read_table(folder / "labels.parquet").to_pandas()
    join = contender(folder)
    join(labels.head(10_000))  # workers and libraries start
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        answers = join(labels)
        seconds.append(time.perf_counter() - started)
    name = next(name for name, item in CONTENDERS.items() if item is contender)
    pq.write_table(answers.select(list(FEATURES)), folder / f"{name}.parquet")
    print(json.dumps(seconds), flush=True)


def _require_equal(folder: Path, ours: str, limit: str) -> None:
    own, plain = (pl.read_parquet(folder / f"{name}.parquet") for name in (ours, limit))
    if not own.equals(plain):
        raise SystemExit(f"{ours} and {limit} gave different answers; the times mean nothing.")


def _write_data(folder: Path, size: Size) -> None:
    generator = np.random.default_rng(7)

    def keys(rows: int) -> np.ndarray:
        is_hot = generator.random(rows) < size.hot_share
        return np.where(is_hot, 0, generator.integers(0, size.keys, rows))

    # No instant twice: where rows tie, polars and DuckDB choose as they please.
    times = START + np.sort(generator.choice(YEAR // 1_000_000, size.rows, replace=size.rows > 30_000_000)) * 1_000_000
    rows = pa.table(
        {"driver_id": keys(size.rows), "event_timestamp": pa.array(times + np.arange(size.rows) % 1_000).cast(INSTANT)}
        | {name: generator.normal(size=size.rows) for name in FEATURES}
    )
    for commit in range(10):
        part = rows.slice(commit * size.rows // 10, size.rows // 10)
        write_deltalake(str(folder / "history"), part, mode="append")
    pq.write_table(rows, folder / "history.parquet")
    labels = {"driver_id": keys(size.labels), "label": generator.normal(size=size.labels)}
    asked = pa.array(START + generator.integers(0, YEAR, size.labels)).cast(INSTANT)
    pq.write_table(pa.table(labels | {"event_timestamp": asked}), folder / "labels.parquet")


def _larder(folder: Path) -> Callable[[pd.DataFrame], pa.Table]:
    from larder.offline import DeltaSource

    source = DeltaSource(name="history", path=str(folder / "history"), timestamp_field="event_timestamp")
    return _through_feast(folder / "larder", source, {"type": "larder.offline.DeltaOfflineStore", "engine": "embedded"})


def _larder_spark(folder: Path) -> Callable[[pd.DataFrame], pa.Table]:
    from larder.contracts.settings import load_settings
    from larder.offline import DeltaSource
    from larder.spark.session import spark_session

    source = DeltaSource(name="history", path=str(folder / "history"), timestamp_field="event_timestamp")
    store = {"type": "larder.offline.DeltaOfflineStore", "engine": "spark"}
    join = _through_feast(folder / "larder_spark", source, store)
    spark_session(load_settings()).range(1).count()
    return join


def _feast_duckdb(folder: Path) -> Callable[[pd.DataFrame], pa.Table]:
    from feast import FileSource

    source = FileSource(name="history", path=str(folder / "history.parquet"), timestamp_field="event_timestamp")
    return _through_feast(folder / "feast_duckdb", source, {"type": "duckdb"})


def _feast_spark(folder: Path) -> Callable[[pd.DataFrame], pa.Table]:
    from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
    from pyspark.sql import SparkSession

    place = str(folder / "history.parquet")
    source = SparkSource(name="history", path=place, file_format="parquet", timestamp_field="event_timestamp")
    conf = {
        "spark.master": "local[2]",
        "spark.driver.memory": "6g",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.local.dir": str(folder / "feast_spark_tmp"),
    }
    builder = SparkSession.builder
    for name, value in conf.items():
        builder = builder.config(name, value)
    builder.getOrCreate().range(1).count()
    return _through_feast(folder / "feast_spark", source, {"type": "spark", "spark_conf": conf})


def _through_feast(folder: Path, source: Any, store: dict[str, Any]) -> Callable[[pd.DataFrame], pa.Table]:
    from feast import Entity, FeatureStore, FeatureView, Field
    from feast.repo_config import RepoConfig
    from feast.types import Float64, Int64
    from feast.value_type import ValueType

    folder.mkdir(exist_ok=True)
    config = RepoConfig(
        project="benchmark",
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{folder}/{os.getpid()}.db"},
        offline_store=store,
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    features = FeatureStore(config=config)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    schema = [Field(name="driver_id", dtype=Int64), *(Field(name=name, dtype=Float64) for name in FEATURES)]
    view = FeatureView(name="drivers", entities=[driver], ttl=timedelta(days=3650), source=source, schema=schema)
    features.apply([driver, source, view])
    references = [f"drivers:{name}" for name in FEATURES]
    return lambda labels: features.get_historical_features(entity_df=labels, features=references).to_arrow()


def _polars(folder: Path) -> Callable[[pd.DataFrame], pa.Table]:
    def join(labels: pd.DataFrame) -> pa.Table:
        asked = pl.from_pandas(labels).with_row_index("row").lazy()
        history = pl.scan_delta(str(folder / "history"))
        joined = asked.sort("event_timestamp").join_asof(
            history.sort("event_timestamp"), on="event_timestamp", by="driver_id"
        )
        return joined.sort("row").drop("row").collect().to_arrow()

    return join


def _duckdb(folder: Path) -> Callable[[pd.DataFrame], pa.Table]:
    import duckdb  # type: ignore[import-not-found]

    def join(labels: pd.DataFrame) -> pa.Table:
        asked = pa.Table.from_pandas(labels, preserve_index=False)
        asked = asked.append_column("row", pa.array(np.arange(asked.num_rows)))
        columns = ", ".join(f"history.{name}" for name in FEATURES)
        with duckdb.connect() as connection:
            connection.register("asked", asked)
            query = f"""
                SELECT asked.*, {columns} FROM asked ASOF LEFT JOIN read_parquet('{folder}/history.parquet') AS history
                ON asked.driver_id = history.driver_id AND asked.event_timestamp >= history.event_timestamp
                ORDER BY row
            """
            return connection.execute(query).to_arrow_table()

    return join


CONTENDERS: dict[str, Callable[[Path], Callable[[pd.DataFrame], pa.Table]]] = {
    "larder": _larder,
    "larder_spark": _larder_spark,
    "polars": _polars,
    "duckdb": _duckdb,
    "feast_duckdb": _feast_duckdb,
    "feast_spark": _feast_spark,
}


def _growth(unit: int, factor: int) -> tuple[int, float, float]:
    """Rows, seconds in this process's engine, seconds on Spark."""
    size = Size(factor * unit, unit // 10, unit)
    with tempfile.TemporaryDirectory() as folder:
        _write_data(Path(folder), size)
        return size.rows, _raced("larder", Path(folder)).seconds, _raced("larder_spark", Path(folder)).seconds


def _draw_growth(points: list[tuple[int, float, float]], plot: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    millions = [rows / 1e6 for rows, _, _ in points]
    axes.plot(millions, [embedded for _, embedded, _ in points], "o-", label="embedded")
    axes.plot(millions, [spark for _, _, spark in points], "s-", label="Spark, local[2]")
    axes.set(xlabel="million rows of history", ylabel="seconds", xlim=0, ylim=0)
    axes.set_title("As-of join of 1M labels, 100k keys, 4 features", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(plot)


if __name__ == "__main__":
    main()
