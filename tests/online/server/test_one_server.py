import os
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import redis

from larder.online.packed.keys import ViewKeys, whole_keys
from larder.online.server.connection import connect
from larder.online.server.one_server import OneServer, packed_command
from tests.online.server.conftest import Server, StartServer, wait_until


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server()


@pytest.fixture
def client(server: Server) -> Iterator[OneServer]:
    with closing(connect(server.address, timeout_seconds=10)) as client:
        assert isinstance(client, OneServer)
        client.mset({"key": "value", "number": 1})
        yield client


def connections(server: Server) -> int:
    """How many the server has accepted so far, but for the one that asks."""
    with closing(server.client()) as admin:
        return int(admin.info("stats")["total_connections_received"]) - 1


def test_answers_come_over_one_open_connection(server: Server, client: OneServer) -> None:
    before = connections(server)

    assert [client.answer("MGET", b"key", b"absent", b"number") for _ in range(10)] == [[b"value", None, b"1"]] * 10

    assert connections(server) == before + 1  # that of this question


def test_the_first_answer_opens_a_connection(server: Server) -> None:
    with closing(connect(server.address, timeout_seconds=10)) as client:
        assert client.answer("MGET", b"key") == [None]


def test_a_connection_that_the_server_closed_is_opened_again(server: Server, client: OneServer) -> None:
    with closing(server.client()) as admin:
        admin.client_kill_filter(_type="normal", skipme=True)
        wait_until(lambda: len(admin.client_list(_type="normal")) == 1)

    assert client.answer("MGET", b"key") == [b"value"]


def test_a_server_started_anew_is_asked_anew(server: Server, client: OneServer) -> None:
    server.kill()
    server.start()

    assert client.answer("MGET", b"key") == [None]


def test_an_answer_that_came_too_late_is_nobodys(server: Server) -> None:
    with closing(connect(server.address, timeout_seconds=0.3)) as client:
        client.set("slow", "1")
        client.set("key", "2")
        server.freeze()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.answer("MGET", b"slow")
        server.thaw()

        wait_until(lambda: _ping(client))
        assert client.answer("MGET", b"key") == [b"2"]


def test_an_answer_that_nobody_read_is_not_the_next_ones(client: OneServer) -> None:
    connection = client.connection_pool.get_connection()
    connection.send_command("GET", "key")
    client.connection_pool.release(connection)
    wait_until(lambda: bool(select.select([connection._sock], [], [], 0)[0]))

    assert client.answer("MGET", b"number") == [b"1"]


def test_parts_are_answered_one_after_the_other_over_one_connection(server: Server, client: OneServer) -> None:
    client.answer("MGET", b"key")
    before = connections(server)

    found = client.answers([mget(b"key", b"absent"), mget(b"number")])

    assert [next(found), next(found)] == [[b"value", None], [b"1"]]
    assert client.answer("MGET", b"number") == [b"1"]  # the connection is back before the last part is looked at
    assert connections(server) == before + 1


def test_a_key_of_any_length_is_asked_for(client: OneServer) -> None:
    keys = [b"k" * length for length in (0, 1, 255, 256, 100_000)]
    client.mset({key: len(key) for key in keys})

    assert client.answer("MGET", *keys) == [b"%d" % len(key) for key in keys]


def test_the_keys_of_several_views_are_asked_for_in_their_order(client: OneServer) -> None:
    views = [ViewKeys(b"%d:" % number, [b"a", b"bc", b"d" * 300][:number]) for number in range(4)]
    keys = whole_keys(views)
    client.mset({key: key for key in keys})

    assert len(keys) == 6
    assert list(client.answers([packed_command("MGET", views)])) == [keys]


def test_without_an_open_connection_parts_are_answered_all_the_same(server: Server) -> None:
    with closing(connect(server.address, timeout_seconds=10)) as client:
        assert list(client.answers([mget(b"a"), mget(b"b", b"c")])) == [[None], [None, None]]


def test_a_part_that_nobody_waited_for_is_not_the_next_answer(client: OneServer) -> None:
    found = client.answers([mget(b"key"), mget(b"number")])
    assert next(found) == [b"value"]
    found.close()

    assert client.answer("MGET", b"key") == [b"value"]


def test_a_server_that_stops_between_two_parts_is_a_time_out_and_the_next_answer_is_right(server: Server) -> None:
    with closing(connect(server.address, timeout_seconds=0.3)) as client:
        client.mset({"slow": "1", "key": "2"})
        server.freeze()
        with pytest.raises(redis.exceptions.TimeoutError):
            list(client.answers([mget(b"slow"), mget(b"slow")]))
        server.thaw()

        wait_until(lambda: _ping(client))
        assert client.answer("MGET", b"key") == [b"2"]


def test_a_refused_command_is_an_error_and_the_next_one_is_answered(client: OneServer) -> None:
    client.hset("hash", "field", 1)

    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        client.answer("GET", b"hash")
    assert client.answer("MGET", b"key") == [b"value"]


def test_threads_get_their_own_answers_and_no_more_connections_than_threads(server: Server, client: OneServer) -> None:
    keys = [str(number).encode() for number in range(8)]
    client.mset({key: key for key in keys})
    before = connections(server)

    def is_right(key: bytes) -> bool:
        return all(client.answer("MGET", key) == [key] for _ in range(200))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(is_right, keys))
    assert connections(server) - before <= 8


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child only reads Redis
def test_a_forked_process_leaves_its_parents_connection_alone(server: Server, client: OneServer) -> None:
    client.answer("MGET", b"key")  # the connection is open when the process forks
    before = connections(server)

    child = os.fork()
    if child == 0:
        os._exit(client.answer("MGET", b"key") != [b"value"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert connections(server) == before + 2  # the child's, and that of this question
    assert client.answer("MGET", b"number") == [b"1"]


def test_a_closed_client_answers_again(client: OneServer) -> None:
    client.answer("MGET", b"key")
    client.close()

    assert client.answer("MGET", b"key") == [b"value"]


def mget(*keys: bytes) -> bytes:
    return packed_command("MGET", [ViewKeys(b"", keys)])


def _ping(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.TimeoutError:
        return False
