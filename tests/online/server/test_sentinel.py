"""A master with one replica under a real Sentinel."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
import redis

from larder.contracts.errors import OnlineStoreError
from larder.online.reading.reader import FeatureReader
from larder.online.server.connection import client_address, connect, connect_async, redis_failures
from larder.online.server.health import redis_health
from larder.online.server.many_keys import multi_get_async
from larder.online.writing.writer import write_records
from tests.online.rows import NOON, plan, view, visits
from tests.online.server.conftest import Server, StartServer, wait_until


@dataclass(frozen=True)
class Watched:
    master: Server
    replica: Server
    sentinel: Server

    @property
    def address(self) -> str:
        # The first Sentinel is gone: the second is asked.
        return f"redis+sentinel://:data@127.0.0.1:1,127.0.0.1:{self.sentinel.port}/shop/0?sentinel_password=watch"


@pytest.fixture
def watched(start_server: StartServer) -> Iterator[Watched]:
    passwords = {"requirepass": "data", "masterauth": "data"}
    master = start_server(**passwords)
    replica = start_server(**passwords, replicaof=f"127.0.0.1 {master.port}")
    sentinel = start_server(
        "--sentinel",
        requirepass="watch",
        sentinel__monitor=f"shop 127.0.0.1 {master.port} 1",
        sentinel__auth_pass="shop data",
        sentinel__down_after_milliseconds="shop 500",
        sentinel__failover_timeout="shop 3000",
    )
    with closing(connect(sentinel.address.replace("//", "//:watch@"), timeout_seconds=10)) as client:
        wait_until(lambda: client.sentinel_slaves("shop"))  # type: ignore[arg-type]
    yield Watched(master, replica, sentinel)


def test_after_a_failover_the_next_call_goes_to_the_new_master(watched: Watched) -> None:
    client = connect(watched.address, timeout_seconds=2)
    reader = FeatureReader(plan(view()), client, lambda: NOON)
    write_records(client, view(), "shop", visits(("ann", 0, 0, 1.0)))
    client.wait(1, 5_000)
    assert reader.read([{"user": "ann"}]).values == [[1.0]]

    watched.master.kill()
    with closing(connect(watched.replica.address.replace("//", "//:data@"), timeout_seconds=10)) as replica:
        wait_until(lambda: _is_master(replica))
    with closing(connect(watched.sentinel.address.replace("//", "//:watch@"), timeout_seconds=10)) as sentinel:
        wait_until(lambda: sentinel.sentinel_masters()["shop"]["port"] == watched.replica.port)

    assert reader.read([{"user": "ann"}]).values == [[1.0]]
    write_records(client, view(), "shop", visits(("ann", 1, 1, 2.0)))
    assert reader.read([{"user": "ann"}]).values == [[2.0]]
    assert redis_health(client).keys == 1
    client.close()


def _is_master(client: redis.Redis) -> bool:
    try:
        return bool(client.info("replication")["role"] == "master")
    except redis.exceptions.ConnectionError:  # a Sentinel ends the connections of the replica that it promotes
        return False


def test_a_frozen_master_costs_one_time_out(watched: Watched) -> None:
    reader = FeatureReader(plan(view()), watched.address, lambda: NOON)
    wait_until(lambda: reader.read([{"user": "ann"}]).values == [[None]])

    watched.master.freeze()
    try:
        started = time.monotonic()
        with pytest.raises(OnlineStoreError, match=r"redis\+sentinel://.*/shop does not answer"):
            reader.read([{"user": "ann"}])
        assert time.monotonic() - started < 1
    finally:
        watched.master.thaw()


def test_the_event_loop_reads_from_the_master_too(watched: Watched) -> None:
    with closing(connect(watched.address, timeout_seconds=10)) as client:
        client.set("key", "value")

    async def read() -> list[bytes | None]:
        client = connect_async(watched.address, timeout_seconds=10)
        try:
            return await multi_get_async(client)([b"key", b"absent"])
        finally:
            await client.aclose()

    assert asyncio.run(read()) == [b"value", None]


def test_an_unknown_service_is_one_sentence_without_passwords(watched: Watched) -> None:
    with (
        closing(connect(watched.address.replace("/shop/", "/bakery/"), timeout_seconds=10)) as client,
        pytest.raises(OnlineStoreError, match=r"has no master that the Sentinels know.*'bakery'") as failure,
        redis_failures(client),
    ):
        client.ping()

    assert "watch" not in str(failure.value)
    assert "data" not in str(failure.value).replace("database", "")
    assert client_address(client).endswith("/bakery")


def test_a_redis_that_is_no_sentinel_is_named_as_such(start_server: StartServer) -> None:
    with (
        closing(connect(f"redis+sentinel://127.0.0.1:{start_server().port}/shop", timeout_seconds=10)) as client,
        pytest.raises(OnlineStoreError, match=r"is no Sentinel.*redis://"),
        redis_failures(client),
    ):
        client.ping()


def test_a_sentinel_addressed_as_a_server_is_named_as_such(watched: Watched) -> None:
    with (
        closing(connect(watched.sentinel.address.replace("//", "//:watch@"), timeout_seconds=10)) as client,
        pytest.raises(OnlineStoreError, match=r"is a Sentinel.*redis\+sentinel://"),
    ):
        redis_health(client)
