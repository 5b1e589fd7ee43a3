"""What is not the Redis that it was taken for: one clear error, and nothing overwritten."""

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import redis

from larder.contracts.errors import OnlineStoreError
from larder.online.contents import count_entities, delete_view
from larder.online.packed.keys import view_prefix
from larder.online.position import read_position
from larder.online.reading.compiled import Status
from larder.online.reading.reader import FeatureReader
from larder.online.server.connection import connect, redis_failures
from larder.online.writing.writer import WriteCounts, write_records
from tests.online.rows import NOON, plan, view, visits
from tests.online.server.conftest import StartServer

ANN = view_prefix("shop", "visits") + b"{s3:ann}"


class _Http(BaseHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@pytest.fixture
def http_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Http) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_keys_of_another_application_are_left_alone(redis_client: redis.Redis) -> None:
    others = {b"session:1": b"x", b"larder": b"x", b"larder:other": b"x", b"feature{s3:ann}": b"x"}
    redis_client.mset(others)

    write_records(redis_client, view(), "shop", visits(("ann", 0, 0, 1.0)))
    assert count_entities(redis_client, "shop", "visits") == 1
    delete_view(redis_client, "shop", "visits")

    assert {key: redis_client.get(key) for key in redis_client.scan_iter()} == others


@pytest.mark.parametrize("minute", [-5, 5])
def test_a_key_of_another_type_is_an_error_and_stays(redis_client: redis.Redis, minute: int) -> None:
    redis_client.lpush(ANN, "not a record")

    with pytest.raises(OnlineStoreError, match=r"another type of value.*WRONGTYPE.*delete it"):
        write_records(redis_client, view(), "shop", visits(("ann", minute, minute, 1.0), ("bob", 0, 0, 1.0)))

    assert redis_client.lrange(ANN, 0, -1) == [b"not a record"]
    redis_client.delete(ANN)
    assert write_records(redis_client, view(), "shop", visits(("ann", 0, 0, 1.0))) == WriteCounts(written=1)


def test_a_reader_never_takes_another_type_for_a_value(redis_client: redis.Redis) -> None:
    redis_client.lpush(ANN, "not a record")

    rows = FeatureReader(plan(view()), redis_client, lambda: NOON).read([{"user": "ann"}])

    assert (rows.values, list(rows.statuses[0])) == ([[None]], [Status.NOT_FOUND])


def test_a_position_of_another_type_is_one_sentence(redis_client: redis.Redis) -> None:
    redis_client.lpush(view_prefix("shop", "visits") + b"position", "no position")

    with pytest.raises(OnlineStoreError, match="another type of value"):
        read_position(redis_client, "shop", "visits")


def test_a_read_only_replica_takes_no_write(start_server: StartServer) -> None:
    master = start_server()
    replica = start_server(replicaof=f"127.0.0.1 {master.port}")

    with closing(connect(replica.address, timeout_seconds=10)) as client:
        with pytest.raises(OnlineStoreError, match=r"is a read-only replica.*Write to its master"):
            write_records(client, view(), "shop", visits(("ann", 0, 0, 1.0)))
        assert count_entities(client, "shop", "visits") == 0


def test_a_full_redis_takes_no_write_and_keeps_what_it_has(start_server: StartServer) -> None:
    with closing(connect(start_server().address, timeout_seconds=10)) as client:
        write_records(client, view(), "shop", visits(("ann", 0, 0, 1.0)))
        client.config_set("maxmemory", "1")

        with pytest.raises(OnlineStoreError, match=r"has reached its maxmemory"):
            write_records(client, view(), "shop", visits(("ann", 1, 1, 2.0)))

        reader = FeatureReader(plan(view()), client, lambda: NOON)
        assert reader.read([{"user": "ann"}]).values == [[1.0]]


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel", "rediss"])
def test_a_server_that_is_no_redis_is_one_sentence(http_port: int, scheme: str) -> None:
    with pytest.raises(OnlineStoreError, match=r"^Redis at redis\S* (is no Redis|does not speak TLS)") as failure:
        client = connect(f"{scheme}://127.0.0.1:{http_port}", timeout_seconds=10)
        with closing(client), redis_failures(client):
            client.get("key")

    assert "\n" not in str(failure.value)
