import asyncio
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
import redis

from larder.contracts.errors import ConfigurationError, OnlineStoreError
from larder.contracts.settings import Settings
from larder.online.reading.reader import FeatureReader
from larder.online.server import embedded
from larder.online.server.address import parsed_address
from larder.online.server.connection import client_address, connect, connect_async, redis_failures, without_password
from larder.online.server.many_keys import multi_get, multi_get_async
from tests.online.rows import NOON, plan, view
from tests.online.server.conftest import StartServer, cluster_address, wait_until


def test_a_frozen_redis_costs_no_more_than_the_time_out(own_redis: Settings) -> None:
    address = embedded.start(own_redis)
    reader = FeatureReader(plan(view()), address, lambda: NOON)
    reader.read([{"user": "ann"}])
    with redis.Redis.from_url(address) as client:
        pid = client.info("server")["process_id"]

    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(2):  # on the open connection, then on a new one
            started = time.monotonic()
            with pytest.raises(OnlineStoreError, match=r"does not answer.*larder up"):
                reader.read([{"user": "ann"}])
            assert time.monotonic() - started < 1
    finally:
        os.kill(pid, signal.SIGCONT)

    assert reader.read([{"user": "ann"}]).values == [[None]]


def test_an_absent_redis_is_one_sentence_with_the_remedy() -> None:
    client = connect("redis://:secret@127.0.0.1:1/0")

    with (
        pytest.raises(OnlineStoreError, match=r"redis://127\.0\.0\.1:1/0 does not answer.*LARDER_REDIS") as failure,
        redis_failures(client),
    ):
        client.ping()
    assert "secret" not in str(failure.value)


def test_an_address_is_named_without_its_password() -> None:
    address = "redis://:secret@127.0.0.1:1/0"

    with pytest.raises(OnlineStoreError, match=r"127\.0\.0\.1:1/0 does not answer") as failure, redis_failures(address):
        connect(address).ping()
    assert "secret" not in str(failure.value)


def test_a_refused_command_is_an_online_store_error(redis_client: redis.Redis) -> None:
    with pytest.raises(OnlineStoreError, match="refused"), redis_failures(redis_client):
        redis_client.execute_command("NONSENSE")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("localhost:6379", r"must begin with one of redis://, rediss://, unix://"),
        ("http://localhost", "must begin with"),
        ("", "must begin with"),
        ("redis://localhost:port/0", "'localhost:port' is not host:port"),
        ("redis://localhost:99999/0", "is not host:port"),
        ("redis://localhost/zero", "the number of its database is 'zero'"),
        ("redis+cluster://localhost/1", "database 0 only"),
        ("redis://localhost?socket_timeout=60", "socket_timeout cannot be set here"),
        ("redis://localhost?retry_on_timeout=yes", "retry_on_timeout cannot be set here"),
        ("redis://localhost?ssl_ca_certs=/a/file", "ssl_ca_certs cannot be set here"),
        ("redis://localhost?sentinel_password=secret", "sentinel_password cannot be set here"),
        ("rediss://localhost?ssl_ca_certs=/no/such/file", "which is no file"),
    ],
)
def test_an_address_that_is_none_is_refused_with_an_example(address: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{reason}.*LARDER_REDIS.*redis://localhost:6379/0") as failure:
        connect(address)
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("text", "kind", "hosts", "service", "options"),
    [
        ("redis://", "server", [("localhost", 6379)], "", {}),
        ("redis://me:p%40ss@a:1/2", "server", [("a", 1)], "", {"username": "me", "password": "p@ss", "db": 2}),
        ("redis://:only@[::1]:1", "server", [("::1", 1)], "", {"password": "only"}),
        ("rediss://a?ssl_check_hostname=no", "server", [("a", 6379)], "", {"ssl": True, "ssl_check_hostname": False}),
        ("unix:///run/a b.sock?db=3", "socket", [], "", {"path": "/run/a b.sock", "db": 3}),
        ("redis+sentinel://a,b:1", "sentinel", [("a", 26379), ("b", 1)], "mymaster", {}),
        ("redis+sentinel://:data@a,[::1]:2/shop/4", "sentinel", [("a", 26379), ("::1", 2)], "shop",
         {"password": "data", "db": 4}),
        ("redis+cluster://a:1,b", "cluster", [("a", 1), ("b", 6379)], "", {}),
    ],
)  # fmt: skip
def test_an_address_of_each_kind_is_read(
    text: str, kind: str, hosts: list[tuple[str, int]], service: str, options: dict[str, object]
) -> None:
    found = parsed_address(text)

    assert (found.kind, list(found.hosts), found.service, found.options) == (kind, hosts, service, options)


def test_sentinels_have_a_login_of_their_own_and_share_the_certificates() -> None:
    found = parsed_address(
        "rediss+sentinel://me:data@a/shop?sentinel_username=you&sentinel_password=w&ssl_cert_reqs=none"
    )

    assert found.options == {"username": "me", "password": "data", "ssl": True, "ssl_cert_reqs": "none"}
    assert found.sentinel_options == {"username": "you", "password": "w", "ssl": True, "ssl_cert_reqs": "none"}


def test_addresses_are_shown_without_the_password() -> None:
    assert without_password("redis://me:secret@host:6379/0") == "redis://***@host:6379/0"
    assert without_password("redis://me:se/cr@et@host/0") == "redis://***@host/0"
    assert without_password("redis+sentinel://a/s?sentinel_password=x&db=1") == (
        "redis+sentinel://a/s?sentinel_password=***&db=1"
    )
    assert client_address(connect("unix:///run/a b.sock?password=secret")) == "unix:///run/a%20b.sock?db=0"
    assert client_address(connect("rediss://me:secret@host:6380/1")) == "rediss://host:6380/1"


def test_a_user_with_a_password_reaches_a_unix_socket(start_server: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "a socket"
    server = start_server(unixsocket=f'"{path}"')
    with closing(server.client()) as admin:
        admin.execute_command("ACL", "SETUSER", "ann", "on", ">p@ss/word", "~*", "+@all")

    with closing(connect(f"unix://ann:p%40ss%2Fword@{path}?db=1", timeout_seconds=10)) as client:
        assert client.execute_command("ACL", "WHOAMI") == b"ann"
        client.set("key", "value")
    with closing(server.client()) as admin:
        assert list(admin.info("keyspace")) == ["db1"]


def test_nothing_is_retried_and_nothing_is_decoded(start_server: StartServer) -> None:
    """A server that is down is tried once: redis-py by default tries four times, with pauses."""
    with closing(connect("redis://127.0.0.1:1/0")) as client:
        started = time.monotonic()
        with pytest.raises(redis.exceptions.ConnectionError):
            client.ping()
        assert time.monotonic() - started < 1
    server = start_server()
    with closing(connect(server.address, timeout_seconds=0.3)) as client:
        client.set("key", "value")
        assert client.get("key") == b"value"
        server.freeze()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.incr("attempts")
        server.thaw()
    with closing(server.client()) as admin:
        wait_until(lambda: admin.exists("attempts") == 1)
        assert admin.get("attempts") == b"1"


def test_the_event_loop_is_bounded_in_the_same_way(start_server: StartServer) -> None:
    server = start_server()

    async def read_twice() -> float:
        client = connect_async(server.address)
        fetch = multi_get_async(client)
        assert await fetch([b"absent"]) == [None]
        server.freeze()
        started = time.monotonic()
        try:
            for _ in range(2):
                with pytest.raises(OnlineStoreError, match="does not answer"), redis_failures(client):
                    await fetch([b"absent"])
            return time.monotonic() - started
        finally:
            server.thaw()
            await client.aclose()

    assert asyncio.run(read_twice()) < 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child only reads and writes Redis
@pytest.mark.parametrize("kind", ["server", "cluster"])
def test_parent_and_child_do_not_mix_their_answers(kind: str, request: pytest.FixtureRequest) -> None:
    nodes = request.getfixturevalue("cluster") if kind == "cluster" else [request.getfixturevalue("start_server")()]
    address = cluster_address(nodes) if kind == "cluster" else nodes[0].address
    client = connect(address, timeout_seconds=10)
    client.set("mine", "parent")  # the connection is open when the process forks

    child = os.fork()
    if child == 0:
        os._exit(_mixed_answers(client, "child"))
    mixed = _mixed_answers(client, "parent")

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mixed == 0
    client.close()


def _mixed_answers(client: redis.Redis, name: str) -> int:
    fetch = multi_get(client)
    keys = [f"{name} {number}".encode() for number in range(20)]
    mixed = 0
    for turn in range(100):
        for key in keys[turn % 5 :: 5]:
            client.set(key, key)
        mixed += any(value not in (None, key) for key, value in zip(keys, fetch(keys), strict=True))
    return mixed + (fetch(keys) != keys)
