"""Bar online-hung: how long a caller waits for a Redis that stopped answering.

python benchmarks/online_hung.py [--quick]
"""

import argparse
import json
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from stamped_rows import served_rows

from larder.contracts.errors import OnlineStoreError
from larder.contracts.settings import load_settings
from larder.online.server import embedded
from larder.online.server.connection import connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 times instead of 20")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(hung_run(Path(folder), times=5 if options.quick else 20)), flush=True)


def hung_run(folder: Path, times: int) -> dict[str, Any]:
    """The bar: how long a reader waits while Redis is stopped, so many times."""
    settings = load_settings({"LARDER_HOME": str(folder / "hung")})
    address = embedded.start(settings)
    pid = int(connect(address).info("server")["process_id"])
    waited = []
    try:
        for _ in range(times):
            read = served_rows(connect(address))
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


if __name__ == "__main__":
    main()
