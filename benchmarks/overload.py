"""Overload: a server asked four times as often as it can answer, beside its answers per second at its peak.

Requests come when they are due, whatever became of those before them, over as many connections as that needs. What was
answered with 200 is the goodput; the rest has to be 503 with `Retry-After`, and memory may not grow.

    python benchmarks/overload.py [--quick]
"""

import argparse
import asyncio
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop
from served import ENTITIES, cpu_seconds, got, project, serving

from larder.online.server import embedded

OVERLOAD = 4
PEAK_CONNECTIONS, MOST_CONNECTIONS = 32, 4_000
SECONDS_BETWEEN_TICKS = 0.002


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the time")
    seconds = 3.0 if parser.parse_args().quick else 15.0
    with tempfile.TemporaryDirectory() as folder:
        settings = project(Path(folder))
        try:
            with serving(settings) as (process, port, *_):
                print(json.dumps(_measured(process, port, seconds)), flush=True)
        finally:
            embedded.stop(settings)


def _measured(process: psutil.Process, port: int, seconds: float) -> dict[str, Any]:
    uvloop.run(_closed(port, seconds / 5))  # warm
    peak = uvloop.run(_closed(port, seconds)).rate("200")
    before = process.memory_info().rss
    cpu_before = cpu_seconds(process)
    load = uvloop.run(_open(port, OVERLOAD * peak, seconds))
    cpu = cpu_seconds(process) - cpu_before
    got(port, "/ready")  # still well
    after = uvloop.run(_closed(port, seconds / 5)).rate("200")
    good = load.seconds_of["200"]
    return {
        "bar": "overload",
        "goodput_of_peak": round(load.rate("200") / peak, 3),
        "peak_per_second": round(peak),
        "goodput_per_second": round(load.rate("200")),
        "offered_per_second": round(load.sent / load.seconds),
        "statuses": dict(load.statuses),
        "not_sent": load.not_sent,
        "unanswered": load.sent - sum(load.statuses.values()),
        "without_retry_after": load.without_retry_after,
        "p50_ms": round(1e3 * statistics.median(good), 1),
        "p99_ms": round(1e3 * statistics.quantiles(good, n=100)[98], 1),
        "server_cpu_share": round(cpu / load.seconds, 2),
        "memory_growth_mb": round((process.memory_info().rss - before) / 1e6, 1),
        "afterwards_of_peak": round(after / peak, 3),
    }


@dataclass
class Load:
    """What a while of requests met."""

    seconds: float = 0.0
    sent: int = 0
    not_sent: int = 0
    """For want of a connection: the generator has its bounds, too."""
    without_retry_after: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    seconds_of: dict[str, list[float]] = field(default_factory=dict)
    """Status -> latency of each answer, from the instant at which the request was due."""

    def rate(self, status: str) -> float:
        return self.statuses[status] / self.seconds


class Caller(asyncio.Protocol):
    """One connection, one request at a time; tells `answered` when it is free again."""

    def __init__(self, load: Load, answered: "Callable[[Caller], None]") -> None:
        self._load, self._answered = load, answered
        self._transport: Any = None
        self._due_at = 0.0
        self._seen = b""
        self._is_wanted = True

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, problem: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._load.statuses["connection lost"] += self._is_wanted

    def call(self, request: bytes, due_at: float) -> None:
        self._load.sent += 1
        self._due_at = due_at
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, _, body = self._seen.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if length is None or len(body) < int(length[1]):
            return
        self._seen = b""
        status = head[9:12].decode()
        self._load.statuses[status] += 1
        self._load.seconds_of.setdefault(status, []).append(time.perf_counter() - self._due_at)
        if status != "200" and b"retry-after:" not in head:
            self._load.without_retry_after += 1
        self._answered(self)

    def close(self) -> None:
        self._is_wanted = False
        self._transport.abort()


async def _closed(port: int, seconds: float) -> Load:
    """As fast as answers come, over a few connections."""
    load, requests = Load(), _requests()
    callers = [
        await _connected(port, load, lambda caller: caller.call(next(requests), time.perf_counter()))
        for _ in range(PEAK_CONNECTIONS)
    ]
    started = time.perf_counter()
    for caller in callers:
        caller.call(next(requests), started)
    await asyncio.sleep(seconds)
    load.seconds = time.perf_counter() - started
    for caller in callers:
        caller.close()
    return load


async def _open(port: int, rate: float, seconds: float) -> Load:
    """At `rate` per second, whatever becomes of it."""
    load, idle, requests = Load(), deque[Caller](), _requests()
    idle.extend([await _connected(port, load, idle.append) for _ in range(MOST_CONNECTIONS)])
    callers, started, due = list(idle), time.perf_counter(), 0
    while (now := time.perf_counter() - started) < seconds:
        while due < now * rate:
            if idle:
                idle.popleft().call(next(requests), started + due / rate)
            else:
                load.not_sent += 1
            due += 1
        await asyncio.sleep(SECONDS_BETWEEN_TICKS)
    load.seconds = time.perf_counter() - started
    for caller in callers:
        caller.close()
    return load


async def _connected(port: int, load: Load, answered: Callable[[Caller], None]) -> Caller:
    _, caller = await asyncio.get_running_loop().create_connection(lambda: Caller(load, answered), "127.0.0.1", port)
    return caller


def _requests() -> Any:
    seeded = random.Random(7)
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    while True:
        body = json.dumps({"rows": [{"entity": seeded.randrange(ENTITIES)}]})
        yield f"{head}{len(body)}\r\n\r\n{body}".encode()


if __name__ == "__main__":
    main()
