"""Bar online-faults: the online store under kill -9.

Kill -9 at a random instant of Redis (append-only file, always) under a bulk write and under
`feast materialize-incremental`, of a client within Feast's `online_write_batch`, and of the materializing process.
What was acknowledged is there afterwards, and after one materialization `larder verify` finds no difference.

    python benchmarks/online_faults.py [--quick] [--seeds N]
"""

import argparse
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from processes import Worker, messages, prepare, result, started
from stamped_rows import PLAN, PROJECT, START, VIEW, Numbers, newest, sales, stored_rows

from larder.contracts.errors import OnlineStoreError
from larder.contracts.settings import Settings, load_settings
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.server import embedded
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.writing.writer import write_records

INSTANT = START + timedelta(days=1)
"""Of every comparison; all rows are older."""

CUSTOMERS, BATCHES, BATCH_ROWS = 1_000, 6, 2_000
AT_ONCE = 2
"""Seeds that run side by side."""

Fault = Literal["redis", "redis_materializing", "client", "materializer"]
"""What is killed."""


def batch(seed: int, number: int) -> tuple[Numbers, Numbers, Numbers]:
    """Customers, events and knowns of one bulk write, with duplicates, corrections and late rows."""
    integers = np.random.default_rng([seed, number]).integers
    events = integers(0, 1_000, BATCH_ROWS)
    return integers(0, CUSTOMERS, BATCH_ROWS), events, events + integers(0, 5, BATCH_ROWS)


@dataclass(frozen=True)
class Shop:
    """One Feast project with a view over a Delta table, all of it in a folder of its own."""

    settings: Settings
    seed: int

    @property
    def registry(self) -> Path:
        return self.settings.home / "registry.db"

    def within(self, folder: Path, seed: int) -> "Shop":
        """The same definitions with table and Redis in `folder`."""
        folder.mkdir()
        shutil.copy(self.registry, folder)
        return Shop(load_settings({"LARDER_HOME": str(folder)}), seed)

    def store(self) -> Any:
        """The Feast store over the Redis that runs now."""
        from feast import FeatureStore
        from feast.repo_config import RepoConfig

        os.environ["LARDER_CLOCK"] = INSTANT.isoformat()  # the stores ask it, and nothing is written from the future
        return FeatureStore(
            config=RepoConfig(
                project=PROJECT,
                provider="local",
                repo_path=self.settings.home,
                registry={"registry_type": "sql", "path": f"sqlite:///{self.registry}"},
                offline_store={"type": "larder.offline.DeltaOfflineStore", "lake": "lake"},
                online_store={
                    "type": "larder.online.RedisOnlineStore",
                    "connection_string": embedded.online_address(self.settings),
                },
                batch_engine={"type": "larder.compute.SparkFeatureEngine"},
                entity_key_serialization_version=3,
            )
        )


@dataclass(frozen=True)
class Work:
    """What a piece of work takes when nobody kills it."""

    seconds: float
    commands: int
    """That Redis takes."""


@dataclass(frozen=True)
class Outcome:
    """What one kill did."""

    fault: Fault
    interrupted: int
    """1 when work was under way at the kill, else 0."""
    lost: int
    """Entities that lack, before the rerun, what was acknowledged, or hold a mixed record."""
    different: int
    """Values that differ from their offline value after one rerun."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 seeds")
    parser.add_argument("--seeds", type=int, help="how often each is killed (100)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        faults = faults_run(Path(folder), range(options.seeds or (5 if options.quick else 100)))
        print(json.dumps(faults), flush=True)
    return 1 if faults["lost"] or faults["different"] else 0


def faults_run(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """The bar: every fault once per seed, each on data and a Redis of its own."""
    prepare()
    begin = time.monotonic()
    shop = result(started(_applied_shop, folder / "registry"))
    work = {fault: _undisturbed(shop.within(folder / fault, seed=0), fault) for fault in FAULTS}

    def outcomes(seed: int) -> list[Outcome]:
        return [outcome(shop.within(folder / f"{seed} {fault}", seed), fault, work[fault]) for fault in FAULTS]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        flat = [found for of_seed in pool.map(outcomes, seeds) for found in of_seed]
    return {
        "bar": "online-faults",
        "seeds": len(seeds),
        "kills": len(flat),
        "interrupted": {fault: sum(found.interrupted for found in flat if found.fault == fault) for fault in FAULTS},
        "lost": sum(found.lost for found in flat),
        "different": sum(found.different for found in flat),
        "seconds": round(time.monotonic() - begin, 1),
    }


def outcome(shop: Shop, fault: Fault, work: Work) -> Outcome:
    """Kill while the work is under way, start again what must run, look, materialize once, compare."""
    try:
        worker = _working(shop, fault)
        _wait_for_instant(shop, random.Random(shop.seed), work)
        if fault.startswith("redis"):
            os.kill(_redis_pid(shop), signal.SIGKILL)
        else:
            worker.process.kill()
        acknowledged = list(messages(worker))
        lost, different = result(started(_examined, shop, fault, acknowledged))
        return Outcome(fault, int(BATCHES - 1 not in acknowledged), lost, different)
    finally:
        embedded.stop(shop.settings)
        shutil.rmtree(shop.settings.home)


def _wait_for_instant(shop: Shop, chance: random.Random, work: Work) -> None:
    """Even seeds wait a random time, odd ones until Redis has taken a random number of commands.

    Most of the work is reading and packing; so half of the kills fall in between two writes.
    """
    if shop.seed % 2 == 0:
        time.sleep(chance.uniform(0, 1.1 * work.seconds))
        return
    number, until = chance.randint(1, work.commands), time.monotonic() + 10 * work.seconds
    with closing(_client(shop)) as client:
        while _commands(client) < number and time.monotonic() < until:
            pass


def _commands(client: Any) -> int:
    """How many reads and writes of data Redis has taken since `_prepare`."""
    calls = client.info("commandstats")
    return sum(
        calls.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("get", "mget", "msetnx", "eval", "evalsha")
    )


def _undisturbed(shop: Shop, fault: Fault) -> Work:
    """What the work takes when nobody kills it."""
    try:
        worker = _working(shop, fault)
        begin = time.monotonic()
        acknowledged = list(messages(worker))
        seconds = time.monotonic() - begin
        with closing(_client(shop)) as client:
            commands = _commands(client)
        if (lost_and_different := result(started(_examined, shop, fault, acknowledged))) != (0, 0):
            raise SystemExit(f"Without a kill too, {fault}: {lost_and_different} (lost, different).")
        return Work(seconds, commands)
    finally:
        embedded.stop(shop.settings)


def _working(shop: Shop, fault: Fault) -> Worker:
    """A process that has begun the work in which `fault` disturbs it."""
    result(started(_prepare, shop, fault))
    worker = started(FAULTS[fault], shop)
    worker.results.recv()
    return worker


def _applied_shop(results: Connection, folder: Path) -> None:
    from feast import Entity, FeatureView, Field
    from feast.types import Int64, String
    from feast.value_type import ValueType

    from larder.offline import DeltaSource

    folder.mkdir(parents=True)
    shop = Shop(load_settings({"LARDER_HOME": str(folder)}), seed=0)
    customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
    source = DeltaSource(path=VIEW, timestamp_field=EVENT_TIMESTAMP, created_timestamp_column=KNOWN_AT)
    types = {"customer": Int64, "event": Int64, "known": Int64, "word": String}
    fields = [Field(name=name, dtype=dtype) for name, dtype in types.items()]
    shop.store().apply([customer, FeatureView(name=VIEW, entities=[customer], source=source, schema=fields)])
    embedded.stop(shop.settings)
    results.send(shop)


def _prepare(results: Connection, shop: Shop, fault: Fault) -> None:
    """Redis and the table; a materializer finds the first half pushed and the second half to do."""
    from deltalake import write_deltalake

    table = str(shop.settings.home / "lake" / VIEW)
    half = BATCHES // 2
    write_deltalake(table, _rows(shop, range(half)))
    embedded.start(shop.settings)
    if FAULTS[fault] is _materialize:
        _push(shop.store())
    write_deltalake(table, _rows(shop, range(half, BATCHES)), mode="append")
    with closing(_client(shop)) as client:
        client.config_resetstat()
    results.send(None)


def _write_batches(results: Connection, shop: Shop) -> None:
    """Send each batch's number once Redis has acknowledged it."""
    client = _client(shop)
    tables = [_rows(shop, [number]) for number in range(BATCHES)]
    results.send("ready")
    with suppress(OnlineStoreError):  # when it is Redis that is killed
        for number, rows in enumerate(tables):
            write_records(client, PLAN, PROJECT, rows)
            results.send(number)


def _write_through_feast(results: Connection, shop: Shop) -> None:
    """`_write_batches` by Feast's `online_write_batch`."""
    store, frames = shop.store(), [_rows(shop, [number]).to_pandas() for number in range(BATCHES)]
    results.send("ready")
    for number, frame in enumerate(frames):
        store.write_to_online_store(VIEW, frame)
        results.send(number)


def _materialize(results: Connection, shop: Shop) -> None:
    """Send the last batch's number once `feast materialize-incremental` is done."""
    store = shop.store()
    results.send("ready")
    with suppress(OnlineStoreError):
        _push(store)
        results.send(BATCHES - 1)


def _examined(results: Connection, shop: Shop, fault: Fault, acknowledged: list[int]) -> None:
    """Send how many entities lost what was acknowledged, and how many values differ after one rerun."""
    from larder.online.position import read_position
    from larder.verify.scope import compared, everything
    from larder.verify.views import verified_views

    store = shop.store()
    client = _client(shop)
    if FAULTS[fault] is _materialize:
        # What its position says is what it acknowledged.
        position = read_position(client, PROJECT, VIEW)
        acknowledged = list(range(BATCHES // 2 * (1 if position is None else position.version + 1)))
    expected = newest(batch(shop.seed, number) for number in acknowledged)
    lost = sum(
        not is_whole or stamps is None or stamps < expected[customer]
        for customer, stamps, is_whole in stored_rows(client, list(expected))
    )
    _push(store)
    views = compared(verified_views(store), everything(client, clock=lambda: INSTANT), lambda *_: None)
    results.send((lost, sum(view.different for view in views)))


def _push(store: Any) -> None:
    with redirect_stdout(io.StringIO()):  # Feast tells what it does
        store.materialize_incremental(INSTANT)


def _rows(shop: Shop, numbers: Iterable[int]) -> pa.Table:
    return pa.concat_tables([sales(*batch(shop.seed, number)) for number in numbers])


def _client(shop: Shop) -> Any:
    return connect(embedded.online_address(shop.settings), timeout_seconds=BULK_TIMEOUT_SECONDS)


def _redis_pid(shop: Shop) -> int:
    address = embedded.address(shop.settings)
    if address is None:
        raise SystemExit("Redis is gone before anybody killed it.")
    return int(connect(address).info("server")["process_id"])


FAULTS: dict[Fault, Callable[..., None]] = {
    "redis": _write_batches,
    "redis_materializing": _materialize,
    "client": _write_through_feast,
    "materializer": _materialize,
}
"""What is under way at the kill."""


if __name__ == "__main__":
    sys.exit(main())
