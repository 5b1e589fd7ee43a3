"""Bars online-concurrency and online-faults: the online store under many hands, and under kill -9.

Concurrency: 8 writers and 8 readers on one view. The value of a row is a function of its entity and its instants, so
a reader knows a mixed record when it sees one; no entity may ever go back in time, and in the end Redis holds the
greatest row of all that were written.

Faults: kill -9 at a random instant of Redis (append-only file, always) under a bulk write and under
`feast materialize-incremental`, of a client within Feast's `online_write_batch`, and of the materializing process.
What was acknowledged is there afterwards, and after one materialization `larder verify` finds no difference.

Hung: a server that stops answering keeps no caller waiting longer than the time-out.

    python benchmarks/online_faults.py [--quick] [--seeds N] [--seconds S]
"""

import argparse
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from larder.contracts.errors import OnlineStoreError
from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
from larder.contracts.settings import Settings, load_settings
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online import FeatureReader, Status
from larder.online.contents import read_view
from larder.online.server import embedded
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.writer import write_records

PROJECT, VIEW = "faults", "sales"
START = datetime(2024, 5, 1, tzinfo=UTC)
INSTANT = START + timedelta(days=1)
"""Of every comparison; all rows are older."""

WRITERS = READERS = 8
BUSY_CUSTOMERS = BUSY_ROWS = 100
"""Customers that all writers and readers of the concurrency run share; rows per write."""
CUSTOMERS, BATCHES, BATCH_ROWS = 1_000, 6, 2_000
LONGEST = 50
"""Of the words of varying length in the rows."""
AT_ONCE = 2
"""Seeds that run side by side."""

Fault = Literal["redis", "redis_materializing", "client", "materializer"]
"""What is killed."""

# Importing Feast takes six seconds; the processes of a run are forked from one that has done so.
PROCESSES = multiprocessing.get_context("forkserver")
PREPARED = ["larder.compute.engine", "larder.offline.store", "larder.online.store", "larder.verify.scope", "deltalake"]

Numbers = NDArray[np.int64]
Stamps = tuple[int, int]
"""Event timestamp and known at of a row, in milliseconds since `START`."""


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
    parser.add_argument("--quick", action="store_true", help="5 seconds and 5 seeds")
    parser.add_argument("--seconds", type=float, help="length of the concurrency run (60)")
    parser.add_argument("--seeds", type=int, help="how often each is killed (100)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        concurrency = concurrency_run(Path(folder), options.seconds or (5 if options.quick else 60))
        print(json.dumps(concurrency), flush=True)
        faults = faults_run(Path(folder), range(options.seeds or (5 if options.quick else 100)))
        print(json.dumps(faults), flush=True)
        print(json.dumps(hung_run(Path(folder), times=20)), flush=True)
    return 1 if concurrency["violations"] or faults["lost"] or faults["different"] else 0


# Rows, and what is right about them


def sales(customers: Numbers, events: Numbers, knowns: Numbers) -> pa.Table:
    """Rows of the view; each feature is a function of customer and instants (milliseconds since `START`)."""
    customer, event, known = (pa.array(column, pa.int64()) for column in (customers, events, knowns))
    texts = [column.cast(pa.string()) for column in (customer, event, known)]
    dots = pc.binary_repeat(".", pa.array(np.asarray(events) % LONGEST))
    return pa.table(
        {
            "customer": customer,
            "event": event,
            "known": known,
            "word": pc.binary_join_element_wise(*texts, dots, ":"),
            EVENT_TIMESTAMP: _instants(events),
            KNOWN_AT: _instants(knowns),
        }
    )


def word(customer: int, stamps: Stamps) -> str:
    """What `sales` says too: differs in content and length from row to row."""
    event, known = stamps
    return f"{customer}:{event}:{known}:{'.' * (event % LONGEST)}"


def _instants(milliseconds: Numbers) -> pa.Array:
    return pa.array(np.datetime64(START.replace(tzinfo=None), "us") + milliseconds * np.timedelta64(1, "ms")).cast(
        pa.timestamp("us", tz="UTC")
    )


def batch(seed: int, number: int) -> tuple[Numbers, Numbers, Numbers]:
    """Customers, events and knowns of one bulk write, with duplicates, corrections and late rows."""
    integers = np.random.default_rng([seed, number]).integers
    events = integers(0, 1_000, BATCH_ROWS)
    return integers(0, CUSTOMERS, BATCH_ROWS), events, events + integers(0, 5, BATCH_ROWS)


def newest(batches: Iterable[tuple[Numbers, Numbers, Numbers]]) -> dict[int, Stamps]:
    """The oracle: the greatest row of each customer."""
    found: dict[int, Stamps] = {}
    for columns in batches:
        for customer, *stamps in zip(*(column.tolist() for column in columns), strict=True):
            found[customer] = max((stamps[0], stamps[1]), found.get(customer, (-1, -1)))
    return found


PLAN = ViewPlan(
    name=VIEW,
    join_keys=(Feature("customer", "int64"),),
    request_keys=("customer",),
    features=(Feature("event", "int64"), Feature("known", "int64"), Feature("word", "string")),
    ttl_seconds=None,
)


def stored_rows(client: Any, customers: Sequence[int]) -> Iterator[tuple[int, Stamps | None, bool]]:
    """What Redis holds of each customer: instants, and whether the whole record speaks of them."""
    keys = pa.table({"customer": pa.array(customers, pa.int64())})
    for row in read_view(client, PLAN, PROJECT, keys).to_pylist():
        if row["word"] is None:
            yield row["customer"], None, True
        else:
            stamps, header = (row["event"], row["known"]), (row[EVENT_TIMESTAMP], row[KNOWN_AT])
            is_whole = header == tuple(START + timedelta(milliseconds=at) for at in stamps)
            yield row["customer"], stamps, is_whole and row["word"] == word(row["customer"], stamps)


# Concurrency


def concurrency_run(folder: Path, seconds: float) -> dict[str, Any]:
    """The bar: what 8 writers and 8 readers saw in so many seconds."""
    PROCESSES.set_forkserver_preload(PREPARED)
    settings = load_settings({"LARDER_HOME": str(folder / "concurrency")})
    address = embedded.start(settings)
    try:
        begin = PROCESSES.Barrier(WRITERS + READERS)
        writers = [_started(_write, address, seed, begin, seconds) for seed in range(WRITERS)]
        readers = [_started(_read, address, seed, begin, seconds) for seed in range(READERS)]
        written, seen = [_result(worker) for worker in writers], [_result(worker) for worker in readers]
        client = connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS)
        expected: dict[int, Stamps] = {}
        for _, greatest in written:
            expected |= {customer: max(row, expected.get(customer, row)) for customer, row in greatest.items()}
        held = list(stored_rows(client, list(expected)))
    finally:
        embedded.stop(settings)
    wrong_at_end = sum(stamps != expected[customer] or not is_whole for customer, stamps, is_whole in held)
    return {
        "bar": "online-concurrency",
        "violations": sum(violations for _, violations in seen) + wrong_at_end,
        "writes": sum(rows for rows, _ in written),
        "reads": sum(rows for rows, _ in seen),
        "writers": WRITERS,
        "readers": READERS,
        "seconds": seconds,
    }


def _write(results: Connection, address: str, seed: int, begin: Any, seconds: float) -> None:
    """Rows of about now, many of them late; sends how many and the greatest per customer."""
    client, integers = connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS), np.random.default_rng(seed).integers
    rows, greatest = 0, dict[int, Stamps]()
    begin.wait()
    started = time.monotonic()
    while (now := time.monotonic() - started) < seconds:
        customers = integers(0, BUSY_CUSTOMERS, BUSY_ROWS)
        events = 10_000 + int(now * 1_000) - integers(0, 2_000, BUSY_ROWS)
        knowns = events + integers(0, 3, BUSY_ROWS)
        write_records(client, PLAN, PROJECT, sales(customers, events, knowns))
        rows += BUSY_ROWS
        for customer, stamps in newest([(customers, events, knowns)]).items():
            greatest[customer] = max(stamps, greatest.get(customer, stamps))
    results.send((rows, greatest))


def _read(results: Connection, address: str, seed: int, begin: Any, seconds: float) -> None:
    """Every other process reads as serving does, the rest in bulk; sends how many rows and violations it saw."""
    client, chance = connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS), random.Random(seed)
    read: Callable[[list[int]], Iterator[tuple[int, Stamps | None, bool]]]
    read = _served_rows(client) if seed % 2 else lambda customers: stored_rows(client, customers)
    rows, violations, last = 0, 0, dict[int, Stamps]()
    begin.wait()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for customer, stamps, is_whole in read([chance.randrange(BUSY_CUSTOMERS) for _ in range(20)]):
            rows += 1
            violations += not is_whole or (customer in last and (stamps is None or stamps < last[customer]))
            if stamps is not None:
                last[customer] = stamps
    results.send((rows, violations))


def _served_rows(client: Any) -> Callable[[list[int]], Iterator[tuple[int, Stamps | None, bool]]]:
    columns = tuple(Column(feature.name, VIEW, feature.name, feature.dtype) for feature in PLAN.features)
    reader = FeatureReader(FeaturePlan(PROJECT, "sales", (PLAN,), (), (), columns), client)

    def read(customers: list[int]) -> Iterator[tuple[int, Stamps | None, bool]]:
        answer = reader.read([{"customer": customer} for customer in customers])
        for customer, (event, known, text), (status, *_) in zip(customers, answer.values, answer.statuses, strict=True):
            is_found = status == Status.PRESENT
            stamps = (event, known) if is_found else None
            yield customer, stamps, not is_found or text == word(customer, (event, known))

    return read


# Faults


def faults_run(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """The bar: every fault once per seed, each on data and a Redis of its own."""
    PROCESSES.set_forkserver_preload(PREPARED)
    started = time.monotonic()
    shop = _result(_started(_applied_shop, folder / "registry"))
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
        "seconds": round(time.monotonic() - started, 1),
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
        acknowledged = list(_messages(worker))
        lost, different = _result(_started(_examined, shop, fault, acknowledged))
        return Outcome(fault, int(BATCHES - 1 not in acknowledged), lost, different)
    finally:
        embedded.stop(shop.settings)
        shutil.rmtree(shop.settings.home)


def hung_run(folder: Path, times: int) -> dict[str, Any]:
    """The bar: how long a reader waits while Redis is stopped, so many times."""
    settings = load_settings({"LARDER_HOME": str(folder / "hung")})
    address = embedded.start(settings)
    pid = int(connect(address).info("server")["process_id"])
    waited = []
    try:
        for _ in range(times):
            read = _served_rows(connect(address))
            list(read([1]))
            os.kill(pid, signal.SIGSTOP)
            begin = time.monotonic()
            with suppress(OnlineStoreError):
                list(read([1]))
                raise SystemExit("A stopped Redis gave an answer.")
            waited.append(time.monotonic() - begin)
            os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)
        embedded.stop(settings)
    milliseconds = sorted(round(1_000 * seconds, 1) for seconds in waited)
    return {"bar": "online-hung", "median_ms": milliseconds[times // 2], "longest_ms": milliseconds[-1], "times": times}


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
    return sum(calls.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("get", "mget", "eval", "evalsha"))


def _undisturbed(shop: Shop, fault: Fault) -> Work:
    """What the work takes when nobody kills it."""
    try:
        worker = _working(shop, fault)
        begin = time.monotonic()
        acknowledged = list(_messages(worker))
        seconds = time.monotonic() - begin
        with closing(_client(shop)) as client:
            commands = _commands(client)
        if (lost_and_different := _result(_started(_examined, shop, fault, acknowledged))) != (0, 0):
            raise SystemExit(f"Without a kill too, {fault}: {lost_and_different} (lost, different).")
        return Work(seconds, commands)
    finally:
        embedded.stop(shop.settings)


def _working(shop: Shop, fault: Fault) -> "Worker":
    """A process that has begun the work in which `fault` disturbs it."""
    _result(_started(_prepare, shop, fault))
    worker = _started(FAULTS[fault], shop)
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


# Processes


@dataclass(frozen=True)
class Worker:
    process: Any
    results: Connection


def _started(work: Callable[..., None], *arguments: Any) -> Worker:
    """A process that does `work(connection, *arguments)`."""
    results, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=work, args=(sender, *arguments), daemon=True)
    process.start()
    sender.close()
    return Worker(process, results)


def _messages(worker: Worker) -> Iterator[Any]:
    """What the process sends until it ends."""
    with suppress(EOFError):
        while True:
            yield worker.results.recv()
    worker.process.join()


def _result(worker: Worker) -> Any:
    """The last thing that the process sends."""
    messages = list(_messages(worker))
    if not messages:
        raise SystemExit("A process ended without a result; its error is above.")
    return messages[-1]


if __name__ == "__main__":
    sys.exit(main())
