"""Bar P8: from a grid instant to the value in Redis, live.

`larder features --follow` runs as it does for a user. Every second a thousand events of 10,000 keys are appended to its
source, one of them of a key that is watched; a feature of it is read from Redis until it stands at the grid instant.

    python benchmarks/live.py [--quick]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from larder.contracts.settings import Settings, environment_of, load_settings
from larder.online.contents import stored_records
from larder.online.packed.keys import view_prefix
from larder.online.packed.record import HEADER
from larder.online.server import embedded
from larder.online.server.connection import connect

SLIDE = timedelta(seconds=5)
KEYS, EVENTS_PER_SECOND, HISTORY = 10_000, 1_000, 1_000_000
"""History: events of the last day, there before the run begins."""
WATCHED = 0
SECONDS_TO_START = 300

FEATURE_STORE = """
project: live
provider: local
registry: {registry_type: sql, path: "sqlite:///registry.db?plugin=larder"}
offline_store: {type: larder.offline.DeltaOfflineStore}
online_store: {type: larder.online.RedisOnlineStore}
batch_engine: {type: larder.compute.SparkFeatureEngine}
entity_key_serialization_version: 3
"""
DEFINITIONS = """
from datetime import timedelta
from feast import Aggregation, Entity, Field, PushSource, StreamFeatureView, ValueType
from feast.types import Float64, Int64
from larder.offline import DeltaSource

key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
events = DeltaSource(name="events", path="silver/events", timestamp_field="at")
slide = timedelta(seconds=5)
live = StreamFeatureView(
    name="live", entities=[key], ttl=timedelta(hours=2), timestamp_field="at",
    source=PushSource(name="live_push", batch_source=events),
    aggregations=[
        Aggregation("value", "mean", timedelta(minutes=1), slide, "mean_1m"),
        Aggregation("value", "sum", timedelta(hours=1), slide, "sum_1h"),
    ],
    schema=[Field(name="key", dtype=Int64), Field(name="mean_1m", dtype=Float64), Field(name="sum_1h", dtype=Float64)],
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="five instants instead of forty, a tenth of the history")
    instants, history = (5, HISTORY // 10) if parser.parse_args().quick else (40, HISTORY)
    with tempfile.TemporaryDirectory() as folder:
        settings = _project(Path(folder), history)
        address = embedded.start(settings)
        try:
            with _following(settings), _arriving(settings):
                seconds = list(_waits(address, instants))
        finally:
            embedded.stop(settings)
    found = {
        "bar": "P8",
        "p95_s": round(float(np.quantile(seconds, 0.95)), 2),
        "p50_s": round(statistics.median(seconds), 2),
        "max_s": round(max(seconds), 2),
        "instants": instants,
        "history": history,
        "events_per_second": EVENTS_PER_SECOND,
        "keys": KEYS,
    }
    print(json.dumps(found), flush=True)


def _project(home: Path, history: int) -> Settings:
    (home / "feature_repo").mkdir()
    (home / "feature_repo" / "feature_store.yaml").write_text(FEATURE_STORE)
    (home / "feature_repo" / "live.py").write_text(DEFINITIONS)
    settings = replace(load_settings({"LARDER_HOME": str(home)}), replay_at=None)
    now = datetime.now(UTC)
    _append(settings, now - timedelta(days=1), now, history)
    return settings


def _append(settings: Settings, start: datetime, end: datetime, rows: int) -> None:
    generator = np.random.default_rng()
    first, last = (int(instant.timestamp() * 1e6) for instant in (start, end))
    keys = generator.integers(0, KEYS, rows)
    keys[0] = WATCHED
    times = pa.array(np.sort(generator.integers(first, last, rows))).cast(pa.timestamp("us", "UTC"))
    events = pa.table({"key": keys, "at": times, "value": generator.normal(size=rows)})
    write_deltalake(f"{settings.lake}/silver/events", events, mode="append")


@contextmanager
def _following(settings: Settings) -> Iterator[None]:
    """`larder features --follow` from its first line about the grid on."""
    command = [sys.executable, "-m", "larder", "features", "--follow"]
    with (
        (settings.home / "follow.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment_of(settings), cwd=settings.home) as process,
    ):
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while b"Following" not in (settings.home / "follow.log").read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"It does not follow:\n{(settings.home / 'follow.log').read_text()[-3000:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


@contextmanager
def _arriving(settings: Settings) -> Iterator[None]:
    """Events of the last second, once a second."""
    is_over = threading.Event()

    def arrive() -> None:
        before = datetime.now(UTC)
        while not is_over.wait(1):
            now = datetime.now(UTC)
            _append(settings, before, now, EVENTS_PER_SECOND)
            before = now

    thread = threading.Thread(target=arrive)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _waits(address: str, instants: int) -> Iterator[float]:
    """Seconds from each grid instant to the watched value of this instant or a later one; the first is left out."""
    client = connect(address)
    key = view_prefix("live", "live") + b"{i%d:%d}" % (len(str(WATCHED)), WATCHED)
    step = SLIDE.total_seconds()
    for number in range(instants + 1):
        instant = (time.time() // step + 1) * step
        while _stands_at(stored_records(client, [key])[0]) < instant:
            time.sleep(0.01)
        if number:
            yield time.time() - instant


def _stands_at(record: bytes | None) -> float:
    return 0.0 if record is None else HEADER.unpack_from(record)[2] / 1e6


if __name__ == "__main__":
    os.environ["LARDER_CLOCK"] = ""  # an .env file nearby may say that it is years ago
    main()
