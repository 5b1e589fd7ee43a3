"""Rows per second of compare-and-set: by a script inside Redis, and by WATCH for a user who may not run scripts.

One server, one writer, nobody in between; each way first into an empty Redis, then again with later rows. Prints one
JSON line per way. `--quick` writes fewer rows.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from larder.contracts.plan import Feature, ViewPlan
from larder.contracts.settings import load_settings
from larder.online.server import embedded
from larder.online.server.connection import connect
from larder.online.writing.writer import write_records

VIEW = ViewPlan(
    name="numbers",
    join_keys=(Feature("entity", "int64"),),
    request_keys=("entity",),
    features=tuple(Feature(f"feature_{number}", "float64") for number in range(8)),
    ttl_seconds=None,
)
USERS = {"script": "+@all", "watch": "-@scripting"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    rows = 20_000 if arguments.parse_args().quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(load_settings({}), state=Path(folder))
        address = embedded.start(settings)
        try:
            measured = [{way: rows_per_second(address, way, rows) for way in USERS} for _ in range(3)]
        finally:
            embedded.stop(settings)
    for way in USERS:
        speeds = statistics.median(run[way][0] for run in measured), statistics.median(run[way][1] for run in measured)
        print(json.dumps({"way": way, "rows": rows, "new_rows_per_s": speeds[0], "later_rows_per_s": speeds[1]}))


def rows_per_second(address: str, way: str, rows: int) -> tuple[int, int]:
    """Speeds into an empty Redis and over older rows."""
    admin = connect(address, timeout_seconds=10)
    admin.flushall()
    admin.execute_command("ACL", "SETUSER", way, "on", ">secret", "~*", "+@all", USERS[way])
    admin.close()
    client = connect(address.replace("//", f"//{way}:secret@"), timeout_seconds=10)
    tables = [table(rows, second) for second in (0, 1)]
    speeds = []
    for part in tables:
        started = time.perf_counter()
        write_records(client, VIEW, "benchmark", part)
        speeds.append(round(rows / (time.perf_counter() - started)))
    client.close()
    return speeds[0], speeds[1]


def table(rows: int, second: int) -> pa.Table:
    instants = pa.array([second * 1_000_000] * rows, pa.timestamp("us", tz="UTC"))
    values = pa.array([float(number) for number in range(rows)])
    columns = {feature.name: values for feature in VIEW.features}
    return pa.table({"entity": pa.array(range(rows), pa.int64()), "event_timestamp": instants} | columns)


if __name__ == "__main__":
    main()
