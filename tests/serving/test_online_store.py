"""Redis hung, gone, emptied: what a caller then gets, and that it passes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from larder.contracts.settings import Settings
from larder.online.packed.keys import view_prefix
from larder.online.server import embedded
from larder.online.server.connection import connect
from serving.online_store import online_store, require_online_store
from tests.serving.conftest import PLAN

SECONDS_TO_ANSWER = 0.15
SECONDS_TO_RECOVER = 5.0


@contextmanager
def _redis(settings: Settings) -> Iterator[Any]:
    address = embedded.address(settings)
    assert address is not None
    client = connect(address, timeout_seconds=5)
    yield client
    client.close()


def _redis_pid(settings: Settings) -> int:
    with _redis(settings) as redis:
        return int(redis.info("server")["process_id"])


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.monotonic()
    answered = call()
    return time.monotonic() - started, answered


def _recovers(server: Any, row: dict[str, Any]) -> bool:
    deadline = time.monotonic() + SECONDS_TO_RECOVER
    while time.monotonic() < deadline:
        if server.ask(row).status == 200:
            return True
        time.sleep(0.05)
    return False


def test_a_hung_redis_is_answered_quickly_with_503_and_its_return_noticed(
    server: Any, settings: Settings, known: dict[str, Any]
):
    assert server.ask(known).status == 200
    pid = _redis_pid(settings)
    os.kill(pid, signal.SIGSTOP)
    try:
        seconds, first = _timed(lambda: server.ask(known))
        at_once, second = _timed(lambda: server.ask(known))
        ready = server.get("/ready")
        metrics = server.get("/metrics").text
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (first.status, second.status, ready.status) == (503, 503, 503)
    assert first.headers["retry-after"] == "1"
    assert "does not answer" in first.json["error"]
    assert seconds < SECONDS_TO_ANSWER
    assert at_once < SECONDS_TO_ANSWER / 3
    assert "larder_online_store_up 0.0" in metrics
    assert _recovers(server, known)
    assert server.get("/ready").status == 200


def test_callers_who_meet_a_hung_redis_together_do_not_wait_for_one_another(
    server: Any, settings: Settings, known: dict[str, Any]
):
    clients = [type(server)(server.port) for _ in range(8)]
    assert all(client.ask(known).status == 200 for client in clients)
    pid = _redis_pid(settings)
    os.kill(pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(clients)) as threads:
            seconds = list(threads.map(lambda client: _timed(lambda: client.ask(known))[0], clients))
    finally:
        os.kill(pid, signal.SIGCONT)

    for client in clients:
        client.close()
    assert max(seconds) < 2 * SECONDS_TO_ANSWER


def test_a_killed_redis_is_answered_with_503_and_found_again_at_its_new_port(
    server: Any, settings: Settings, materialize: Callable[[], None], known: dict[str, Any]
):
    os.kill(_redis_pid(settings), signal.SIGKILL)
    time.sleep(0.05)

    seconds, answered = _timed(lambda: server.ask(known))

    assert (answered.status, server.get("/health").status, server.get("/ready").status) == (503, 200, 503)
    assert seconds < SECONDS_TO_ANSWER
    materialize()
    assert _recovers(server, known)


def test_an_emptied_redis_is_not_ready_and_its_nulls_are_called_missing(
    server: Any, settings: Settings, known: dict[str, Any]
):
    with _redis(settings) as redis:
        redis.flushall()

    prediction = server.ask(known).prediction

    assert server.get("/ready").status == 503
    assert "shop_sales, customers" in server.get("/ready").json["reason"]
    assert prediction["missing"] == ["sales_mean_7d", "sales_count_7d", "region", "age_years"]
    assert prediction["confidence"] == "low"


def test_records_of_another_schema_are_refused_and_not_misread(server: Any, settings: Settings, known: dict[str, Any]):
    with _redis(settings) as redis:
        [key] = redis.keys(view_prefix("shop", "shop_sales") + b"*north*")
        record = bytearray(redis.get(key))
        record[4] ^= 1  # first byte of the schema's fingerprint
        redis.set(key, bytes(record))

    answered = server.ask(known)

    assert answered.status == 503
    assert "shop_sales" in answered.json["error"]


def test_a_damaged_record_refuses_its_entity_and_nobody_else(server: Any, settings: Settings, known: dict[str, Any]):
    with _redis(settings) as redis:
        [key] = redis.keys(view_prefix("shop", "customers") + b"*7*")
        redis.set(key, redis.get(key)[:-1])

    damaged, other = server.ask(known), server.ask(known | {"customer": 8})

    assert (damaged.status, other.status) == (503, 200)
    assert "larder verify --repair" in damaged.json["error"]
    assert "larder_online_store_up 1.0" in server.get("/metrics").text


def test_the_redis_of_the_feature_definitions_is_the_one_that_serves(
    settings: Settings, materialize: Callable[[], None]
):
    materialize()
    address = str(embedded.address(settings))
    elsewhere = replace(settings, state=settings.home / "another")
    (settings.home / "feature_repo" / "feature_store.yaml").write_text(
        f"online_store: {{type: larder.online.RedisOnlineStore, connection_string: '{address}'}}"
    )

    require_online_store(elsewhere)
    with closing(online_store(elsewhere)) as store:
        store.check(PLAN)

    assert store.connected_to == address
    assert embedded.address(elsewhere) is None
