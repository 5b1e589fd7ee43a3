"""Bars P3 and P4: gold to Redis, and from Redis to Python's floats, beside Feast's Redis store and bare redis-py.

P3 materializes a view of 8 floats, each contender from the offline store that goes with it and in a process of its
own. P4 reads 50 floats of 5 views for 1, 10 and 100 entities; the contenders take turns in one process, round by round.
All write to and read from one embedded Redis. `ratio_to_limit` compares with redis-py and `struct` alone: SET without
comparison, MGET without statuses.

    python benchmarks/online_store.py [--quick]
"""

import argparse
import json
import os
import statistics
import struct
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import redis
from deltalake import write_deltalake
from race import raced
from redis.connection import parse_url

from larder.contracts.settings import load_settings
from larder.online.server import embedded

START = datetime(2024, 1, 1, tzinfo=UTC)
FLOATS, VIEWS, FLOATS_PER_VIEW = 8, 5, 10
READS = {1: 200, 10: 100, 100: 30}
"""Rows of a request -> requests timed in each round."""
ROUNDS = 3
LIMIT_SECONDS = 600
KEYS_PER_CALL = 1_000

Rows = list[list[float]]
Read = Callable[[list[int]], Rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the entities, one run")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["LARDER_CLOCK"] = ""  # an .env file nearby may say that it is years ago
    if arguments.contender:
        print(json.dumps({"seconds": CONTENDERS[arguments.contender](arguments.folder)}), flush=True)
        return
    entities, runs = (20_000, 1) if arguments.quick else (200_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(load_settings({"LARDER_HOME": folder}), state=Path(folder))
        (Path(folder) / "address").write_text(embedded.start(settings))
        try:
            bars = [_write_bar(Path(folder), entities, runs), *_read_bars(Path(folder), entities // 20)]
        finally:
            embedded.stop(settings)
    for bar in bars:
        print(json.dumps(bar), flush=True)


def _write_bar(folder: Path, entities: int, runs: int) -> dict[str, Any]:
    _write_history(folder, entities)
    server = redis.Redis.from_url((folder / "address").read_text())
    seconds: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    memory, size = dict.fromkeys(CONTENDERS, 0.0), {}
    for _ in range(runs):
        for contender in CONTENDERS:
            server.flushall()
            before = server.info("memory")["used_memory"]
            run = raced(__file__, contender, folder, limit_seconds=LIMIT_SECONDS)
            seconds[contender].append(run.printed["seconds"])
            memory[contender] = max(memory[contender], run.peak_memory_gb)
            size[contender] = (server.info("memory")["used_memory"] - before) / entities
    median = {contender: statistics.median(found) for contender, found in seconds.items()}
    return {
        "bar": "P3",
        "ratio_to_feast": round(median["feast"] / median["larder"], 2),
        "ratio_to_limit": round(median["larder"] / median["redis_py"], 2),
        "seconds": round(median["larder"], 3),
        "rows_per_second": round(entities / median["larder"]),
        "peak_memory_gb": round(memory["larder"], 2),
        "rows": entities,
        "bytes_per_entity": round(size["larder"], 1),
        "feast_bytes_per_entity": round(size["feast"], 1),
        "feast_seconds": round(median["feast"], 2),
        "feast_memory_gb": round(memory["feast"], 2),
        "limit_seconds": round(median["redis_py"], 3),
    }


def _write_history(folder: Path, entities: int) -> None:
    generator = np.random.default_rng(7)
    times = pa.array([START + timedelta(hours=1)] * entities, pa.timestamp("us", tz="UTC"))
    rows = pa.table(
        {"driver_id": np.arange(entities), "event_timestamp": times}
        | {name: generator.normal(size=entities) for name in _feature_names("drivers", FLOATS)}
    )
    write_deltalake(str(folder / "history"), rows)
    pq.write_table(rows, folder / "history.parquet")


def _larder_materializes(folder: Path) -> float:
    from larder.offline import DeltaSource

    source = DeltaSource(name="history", path=str(folder / "history"), timestamp_field="event_timestamp")
    stores = {
        "offline_store": {"type": "larder.offline.DeltaOfflineStore"},
        "online_store": _larder_store(folder),
        "batch_engine": {"type": "larder.compute.SparkFeatureEngine"},
    }
    return _materialized(_feast(folder / "larder", stores), source)


def _feast_materializes(folder: Path) -> float:
    from feast import FileSource

    source = FileSource(name="history", path=str(folder / "history.parquet"), timestamp_field="event_timestamp")
    stores = {"offline_store": {"type": "duckdb"}, "online_store": _feast_store(folder)}
    return _materialized(_feast(folder / "feast", stores), source)


def _redis_py_writes(folder: Path) -> float:
    """From Parquet to Redis without a store's duties: columns to bytes by NumPy, MSET in a pipeline."""
    started = time.perf_counter()
    rows = pq.read_table(folder / "history.parquet")
    records = np.empty((rows.num_rows, 1 + FLOATS))
    records[:, 0] = rows["event_timestamp"].cast(pa.int64())
    for number, name in enumerate(_feature_names("drivers", FLOATS)):
        records[:, 1 + number] = rows[name]
    data, width = records.tobytes(), 8 * (1 + FLOATS)
    values = [data[start : start + width] for start in range(0, len(data), width)]
    keys = [b"drivers:%d" % driver for driver in rows["driver_id"].to_pylist()]
    pipeline = redis.Redis.from_url((folder / "address").read_text()).pipeline(transaction=False)
    for start in range(0, len(keys), KEYS_PER_CALL):
        part = slice(start, start + KEYS_PER_CALL)
        pipeline.mset(dict(zip(keys[part], values[part], strict=True)))
    pipeline.execute()
    return time.perf_counter() - started


def _materialized(store: Any, source: Any) -> float:
    view = _view("drivers", FLOATS, source)
    store.apply([_driver(), source, view])
    started = time.perf_counter()
    store.materialize(START, START + timedelta(days=1))
    return time.perf_counter() - started


def _read_bars(folder: Path, entities: int) -> list[dict[str, Any]]:
    contenders = _readers(folder, entities)
    generator = np.random.default_rng(11)
    return [_read_bar(contenders, generator.integers(0, entities, (READS[size], size))) for size in READS]


def _read_bar(contenders: dict[str, Read], requests: Any) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
    for _ in range(ROUNDS):
        expected: list[Rows] = []
        for contender, read in contenders.items():
            # One after the other, not request by request: Feast's cache of requests serves one store at a time.
            read(requests[0].tolist())
            for number, request in enumerate(requests.tolist()):
                rows = _timed(read, request, seconds[contender])
                if len(expected) == number:
                    expected.append(rows)
                elif rows != expected[number]:  # and is dropped, as a server drops an answer before the next request
                    raise SystemExit("The contenders read different values; the times mean nothing.")
    ms = {contender: 1e3 * statistics.median(found) for contender, found in seconds.items()}
    return {
        "bar": f"P4-{requests.shape[1]}",
        "ratio_to_feast": round(ms["feast"] / ms["larder"], 2),
        "ratio_to_limit": round(ms["larder"] / ms["redis_py"], 2),
        "ratio_to_feast_through_its_sdk": round(ms["feast"] / ms["larder_sdk"], 2),
        "seconds": round(ms["larder"] / 1e3, 6),
        "rows": requests.shape[1],
        "ms": {contender: round(found, 3) for contender, found in ms.items()},
    }


def _timed(read: Read, request: list[int], seconds: list[float]) -> Rows:
    started = time.perf_counter()
    rows = read(request)
    seconds.append(time.perf_counter() - started)
    return rows


def _readers(folder: Path, entities: int) -> dict[str, Read]:
    from larder.offline import DeltaSource
    from larder.online import FeatureReader
    from larder.online.planning import feature_plan

    source = DeltaSource(name="unused", path=str(folder / "history"), timestamp_field="event_timestamp")
    offline = {"type": "larder.offline.DeltaOfflineStore"}
    stores = {
        name: _feast(folder / f"reads_{name}", {"offline_store": offline, "online_store": online})
        for name, online in (("larder", _larder_store(folder)), ("feast", _feast_store(folder)))
    }
    views = [_view(f"view_{number}", FLOATS_PER_VIEW, source) for number in range(VIEWS)]
    for store in stores.values():
        _apply_and_write(store, views, source, entities)
    # Records as the redis-py contender wants them: floats, and nothing else.
    bare = redis.Redis.from_url((folder / "address").read_text())
    for number, view in enumerate(views):
        records = _values(view.name, entities).tolist()
        packed = {b"bare:%d:%d" % (number, driver): FLOATS_ONLY.pack(*row) for driver, row in enumerate(records)}
        bare.mset(packed)
    reader = FeatureReader(feature_plan(stores["larder"], "all"), (folder / "address").read_text())
    return {
        "feast": _through_sdk(stores["feast"]),
        "larder_sdk": _through_sdk(stores["larder"]),
        "larder": lambda drivers: reader.read([{"driver_id": driver} for driver in drivers]).values,
        "redis_py": lambda drivers: _bare_read(bare, drivers),
    }


FLOATS_ONLY = struct.Struct(f"<{FLOATS_PER_VIEW}d")


def _bare_read(client: redis.Redis, drivers: list[int]) -> Rows:
    keys = [b"bare:%d:%d" % (number, driver) for driver in drivers for number in range(VIEWS)]
    values = [FLOATS_ONLY.unpack(record) for record in client.mget(keys)]
    return [[value for part in values[at : at + VIEWS] for value in part] for at in range(0, len(values), VIEWS)]


def _apply_and_write(store: Any, views: list[Any], source: Any, entities: int) -> None:
    from feast import FeatureService

    store.apply([_driver(), source, *views, FeatureService(name="all", features=views)])
    for view in views:
        values = _values(view.name, entities)
        frame = pd.DataFrame(values, columns=_feature_names(view.name, FLOATS_PER_VIEW))
        frame.insert(0, "driver_id", np.arange(entities))
        frame["event_timestamp"] = pd.Timestamp(datetime.now(UTC))
        store.write_to_online_store(view.name, frame)


def _values(view: str, entities: int) -> Any:
    return np.random.default_rng(sum(view.encode())).normal(size=(entities, FLOATS_PER_VIEW))


def _through_sdk(store: Any) -> Read:
    service = store.get_feature_service("all")
    names = [name for number in range(VIEWS) for name in _feature_names(f"view_{number}", FLOATS_PER_VIEW)]

    def read(drivers: list[int]) -> Rows:
        found = store.get_online_features(service, [{"driver_id": driver} for driver in drivers]).to_dict()
        return [list(row) for row in zip(*(found[name] for name in names), strict=True)]

    return read


def _larder_store(folder: Path) -> dict[str, Any]:
    address = (folder / "address").read_text()
    return {"type": "larder.online.RedisOnlineStore", "connection_string": address}


def _feast_store(folder: Path) -> dict[str, Any]:
    """Over the same socket; Feast wants a host and a port before it, and uses neither."""
    path = parse_url((folder / "address").read_text())["path"]
    return {"type": "redis", "connection_string": f"localhost:0,unix_socket_path={path}"}


def _feast(folder: Path, stores: dict[str, Any]) -> Any:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    folder.mkdir(exist_ok=True)
    registry = {"registry_type": "sql", "path": f"sqlite:///{folder}/{time.time_ns()}.db"}
    config = RepoConfig(
        project=folder.name, provider="local", registry=registry, entity_key_serialization_version=3, **stores
    )
    return FeatureStore(config=config)


def _driver() -> Any:
    from feast import Entity
    from feast.value_type import ValueType

    return Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def _view(name: str, floats: int, source: Any) -> Any:
    from feast import FeatureView, Field
    from feast.types import Float64, Int64

    fields = [Field(name=feature, dtype=Float64) for feature in _feature_names(name, floats)]
    schema = [Field(name="driver_id", dtype=Int64), *fields]
    return FeatureView(name=name, entities=[_driver()], ttl=timedelta(days=36500), schema=schema, source=source)


def _feature_names(view: str, floats: int) -> list[str]:
    """All different over all views, so that answers need no prefix."""
    return [f"{view}_f{number}" for number in range(floats)]


CONTENDERS: dict[str, Callable[[Path], float]] = {
    "larder": _larder_materializes,
    "feast": _feast_materializes,
    "redis_py": _redis_py_writes,
}


if __name__ == "__main__":
    main()
