from contextlib import closing, suppress

import pytest
import redis

from larder.contracts.errors import OnlineStoreError
from larder.online.server.connection import connect, redis_failures
from larder.online.server.health import redis_health, refusal, require_fit_redis
from tests.online.server.conftest import Server, StartServer, cluster_address, wait_until


def health_of(server: Server, user: str = "") -> object:
    with closing(connect(server.address.replace("//", f"//{user}"), timeout_seconds=10)) as client:
        return redis_health(client)


@pytest.mark.parametrize(
    ("options", "persistence", "warning"),
    [
        ({"appendonly": "yes"}, "append-only file (appendfsync everysec)", None),
        ({"appendonly": "yes", "appendfsync": "no"}, "append-only file (appendfsync no)", "half a minute"),
        ({"save": "900 1"}, "snapshots only (save 900 1)", "since the last snapshot"),
        ({}, "none", "loses everything"),
    ],
)
def test_what_a_crash_would_leave_is_said_in_words(
    start_server: StartServer, options: dict[str, str], persistence: str, warning: str | None
) -> None:
    health = health_of(start_server(**options))

    assert health.persistence == persistence
    assert [warning in text for text in health.warnings] == ([True] if warning else [])


@pytest.mark.parametrize(
    ("policy", "maxmemory", "warning", "evicts"),
    [
        ("noeviction", "64mb", None, False),
        ("allkeys-lru", "64mb", "silently once its memory is full", True),
        ("allkeys-lru", "0", "as soon as a maxmemory is set", False),
        ("volatile-lru", "64mb", "none is dropped", False),
    ],
)
def test_a_redis_that_drops_features_is_found(
    start_server: StartServer, policy: str, maxmemory: str, warning: str | None, evicts: bool
) -> None:
    server = start_server(appendonly="yes", maxmemory=maxmemory, maxmemory_policy=policy)

    health = health_of(server)

    assert [warning in text for text in health.warnings] == ([True] if warning else [])
    assert health.evicts == evicts
    with closing(connect(server.address, timeout_seconds=10)) as client:
        if evicts:
            with pytest.raises(OnlineStoreError, match=r"would lose features.*Set `noeviction`"):
                require_fit_redis(client)
        else:
            assert require_fit_redis(client) == health


def test_a_replica_is_refused_and_its_master_named(start_server: StartServer) -> None:
    master = start_server()
    replica = start_server(replicaof=f"127.0.0.1 {master.port}")

    with pytest.raises(OnlineStoreError, match=rf"read-only replica of 127\.0\.0\.1:{master.port}"):
        health_of(replica)


def test_a_redis_that_still_loads_its_data_is_refused(start_server: StartServer) -> None:
    server = start_server(rdbcompression="no")
    with closing(server.client()) as client:
        client.mset({f"key {number}": "x" * 10_000 for number in range(2_000)})  # it answers after each 2 MB
        client.save()
        client.config_set("key-load-delay", 2_000)  # microseconds
        client.config_rewrite()
    server.kill()
    server.launch()
    wait_until(lambda: is_loading(server))

    with pytest.raises(OnlineStoreError, match=r"still loading its data, \d+ % so far. Try again in about \d+ s"):
        health_of(server)
    with (
        pytest.raises(OnlineStoreError, match=r"is still loading its data.*Wait and try again"),
        closing(connect(server.address, timeout_seconds=10)) as client,
        redis_failures(client),
    ):
        client.get("key 1")


def is_loading(server: Server) -> bool:
    with closing(server.client()) as client, suppress(redis.exceptions.ConnectionError):
        return bool(client.info()["loading"])
    return False


def test_what_the_user_may_not_ask_is_a_warning_and_no_crash(start_server: StartServer) -> None:
    server = start_server(appendonly="yes")
    with closing(server.client()) as admin:
        admin.execute_command("ACL", "SETUSER", "half", "on", ">secret", "~*", "+@all", "-config")
        admin.execute_command("ACL", "SETUSER", "little", "on", ">secret", "~*", "+@all", "-config", "-info")

    half, little = health_of(server, "half:secret@"), health_of(server, "little:secret@")

    assert half.persistence == "append-only file (appendfsync could not be asked)"
    assert half.warnings == ()
    assert little.warnings == (
        "Not checked: version, role, persistence and eviction, since the user may not run INFO.",
    )


def test_a_cluster_is_as_fit_as_its_worst_primary(cluster: list[Server]) -> None:
    with closing(cluster[0].client()) as node:
        node.config_set("appendonly", "yes")
    with closing(cluster[1].client()) as node:
        node.config_set("maxmemory-policy", "allkeys-lru")
        node.config_set("maxmemory", "64mb")
    client = connect(cluster_address(cluster), timeout_seconds=10)
    for number in range(20):
        client.set(f"key {number}", "x")

    health = redis_health(client)

    assert health.keys == 20
    assert health.persistence == "append-only file (appendfsync everysec), none"
    assert health.evicts
    assert len(health.warnings) == 2  # each once, whatever the number of primaries
    client.close()


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"redis_version": "5.0.14"}, "has version 5.0.14; Larder needs 6.2 or later"),
        ({"redis_version": "6.0.16"}, "has version 6.0.16"),
        ({"redis_version": "7.2.4", "redis_mode": "sentinel"}, "is a Sentinel"),
    ],
)
def test_a_server_that_can_be_no_online_store_is_refused(info: dict[str, str], reason: str) -> None:
    assert reason in (refusal(info, "redis://host:1/0") or "")


@pytest.mark.parametrize("version", ["6.2.14", "7.2.4", "10.0.1", "255.255.255", "unstable"])
def test_a_newer_version_is_accepted(version: str) -> None:
    assert refusal({"redis_version": version, "role": "master", "loading": 0}, "redis://host:1/0") is None
