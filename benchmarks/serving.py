"""Bars P5 and P7: CPU of the server per POST /predict, latency at 80 % load, without and with a shadow; CPU to ready.

The process that writes the prediction log is named by itself: its CPU is nobody's wait, but it is not free.

The server is the real one (`larder serve`), as a process of its own, on a model of 50 numeric inputs from 5 views in
a private Redis. Its CPU is read from the system, so the load generator's own does not count. The bars have limits in
themselves; no peer runs here, hence no `ratio_to_feast`.

    python benchmarks/serving.py [--quick]
"""

import argparse
import http.client
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from served import ENTITIES, NAME, cpu_seconds, got, project, serving

from larder.contracts.bundle import set_shadow
from larder.contracts.settings import Settings
from larder.online.server import embedded

LOAD = 0.8
"""Share of the greatest rate one connection reaches."""
SECONDS_TO_LISTEN = 30


@dataclass(frozen=True)
class Measured:
    """What a number of requests cost."""

    requests: int
    seconds: float
    cpu_ms_per_request: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    requests = 1_000 if parser.parse_args().quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        settings = project(Path(folder))
        try:
            for bar in _bars(settings, requests):
                print(json.dumps(bar), flush=True)
        finally:
            embedded.stop(settings)


def _bars(settings: Settings, requests: int) -> Iterator[dict[str, object]]:
    with serving(settings) as (process, port, cpu_s_to_ready, seconds_to_ready):
        _measured(process, port, requests // 10, rate=None)  # warm
        writer_cpu_before = _writer_cpu_seconds(process)
        peak = _measured(process, port, requests, rate=None)
        rate = LOAD * peak.requests / peak.seconds
        loaded = _measured(process, port, requests, rate=rate)
        writer_cpu = _writer_cpu_seconds(process) - writer_cpu_before
        memory_gb = process.memory_info().rss / 1e9
        _let_listen(settings, port)
        shadowed = _measured(process, port, requests, rate=rate)
    yield {
        "bar": "P5",
        "cpu_ms_per_request": round(peak.cpu_ms_per_request, 4),
        "p50_ms": round(loaded.p50_ms, 3),
        "p99_ms": round(loaded.p99_ms, 3),
        "log_writer_cpu_ms_per_request": round(writer_cpu / (2 * requests) * 1000, 4),
        "cpu_ms_per_request_with_shadow": round(shadowed.cpu_ms_per_request, 4),
        "p50_ms_with_shadow": round(shadowed.p50_ms, 3),
        "p99_ms_with_shadow": round(shadowed.p99_ms, 3),
        "requests_per_second": round(peak.requests / peak.seconds),
        "seconds": round(peak.seconds + loaded.seconds, 2),
        "peak_memory_gb": round(memory_gb, 3),
        "rows": peak.requests + loaded.requests,
    }
    yield {"bar": "P7", "cpu_s_to_ready": round(cpu_s_to_ready, 2), "seconds": round(seconds_to_ready, 2)}


def _let_listen(settings: Settings, port: int) -> None:
    """A second version, like the champion, answers unseen from when this returns."""
    set_shadow(settings.bundles, NAME, "2")
    deadline = time.monotonic() + SECONDS_TO_LISTEN
    while json.loads(got(port, "/model"))["shadow"]["version"] != "2":
        if time.monotonic() > deadline:
            raise SystemExit(f"No shadow listens after {SECONDS_TO_LISTEN} s: {got(port, '/model').decode()}")
        time.sleep(0.1)


def _measured(process: psutil.Process, port: int, requests: int, *, rate: float | None) -> Measured:
    """Send single rows over one connection, at `rate` per second or one after the other without a pause."""
    seeded = random.Random(7)
    bodies = [json.dumps({"rows": [{"entity": seeded.randrange(ENTITIES)}]}).encode() for _ in range(requests)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    latencies = []
    cpu_before, started = cpu_seconds(process), time.perf_counter()
    for number, body in enumerate(bodies):
        # At a fixed rate latency counts from the instant at which the request was due, waiting included.
        due = time.perf_counter() if rate is None else started + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        if response.status != http.client.OK:
            raise SystemExit(f"The server answered {response.status}: {content.decode()}")
        latencies.append(time.perf_counter() - due)
    seconds = time.perf_counter() - started
    cpu = cpu_seconds(process) - cpu_before
    connection.close()
    p50, p99 = np.quantile(latencies, [0.5, 0.99]) * 1000
    return Measured(requests, seconds, cpu / requests * 1000, float(p50), float(p99))


def _writer_cpu_seconds(server: psutil.Process) -> float:
    """Of the process beside the server that stores the prediction log."""
    return sum(cpu_seconds(child) for child in server.children() if "serving.log.writer" in child.cmdline())


if __name__ == "__main__":
    main()
