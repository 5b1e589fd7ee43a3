"""Bar online-concurrency: 8 writers and 8 readers on one view.

The value of a row is a function of its entity and its instants, so a reader knows a mixed record when it sees one; no
entity may ever go back in time, and in the end Redis holds the greatest row of all that were written.

    python benchmarks/online_concurrency.py [--quick] [--seconds S]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from processes import PROCESSES, prepare, result, started
from stamped_rows import PLAN, PROJECT, Seen, Stamps, newest, sales, served_rows, stored_rows

from larder.contracts.settings import load_settings
from larder.online.server import embedded
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.writing.writer import write_records

WRITERS = READERS = 8
BUSY_CUSTOMERS = BUSY_ROWS = 100
"""Customers that all writers and readers share; rows per write."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 seconds")
    parser.add_argument("--seconds", type=float, help="length of the run (60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = concurrency_run(Path(folder), options.seconds or (5 if options.quick else 60))
    print(json.dumps(found), flush=True)
    return 1 if found["violations"] else 0


def concurrency_run(folder: Path, seconds: float) -> dict[str, Any]:
    """The bar: what 8 writers and 8 readers saw in so many seconds."""
    prepare()
    settings = load_settings({"LARDER_HOME": str(folder / "concurrency")})
    address = embedded.start(settings)
    try:
        begin = PROCESSES.Barrier(WRITERS + READERS)
        writers = [started(_write, address, seed, begin, seconds) for seed in range(WRITERS)]
        readers = [started(_read, address, seed, begin, seconds) for seed in range(READERS)]
        written, seen = [result(worker) for worker in writers], [result(worker) for worker in readers]
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
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
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
    read: Callable[[list[int]], Seen]
    read = served_rows(client) if seed % 2 else lambda customers: stored_rows(client, customers)
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


if __name__ == "__main__":
    sys.exit(main())
