from collections.abc import Iterator

import pytest
import redis

from larder.online.server.many_keys import pipelined


def test_answers_come_in_the_order_of_the_commands(redis_client: redis.Redis) -> None:
    commands = [["MSETNX", b"a", b"1", b"b", b"2"], ["MSETNX", b"b", b"3"], ["GET", b"b"]]

    assert pipelined(redis_client, commands) == [1, 0, b"2"]
    assert pipelined(redis_client, []) == []


def test_redis_works_on_a_command_before_the_next_one_is_made(redis_client: redis.Redis) -> None:
    seen: list[bytes | None] = []

    def commands() -> Iterator[list[bytes]]:
        yield [b"SET", b"first", b"1"]
        while seen[-1:] != [b"1"] and len(seen) < 10_000:
            seen.append(redis_client.get("first"))
        yield [b"SET", b"second", b"2"]

    assert pipelined(redis_client, commands()) == [b"OK", b"OK"]
    assert seen[-1] == b"1"


def test_of_a_refused_command_nothing_is_left_for_the_next_caller(redis_client: redis.Redis) -> None:
    redis_client.hset("hash", "field", "1")

    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        pipelined(redis_client, [["SET", b"a", b"1"], ["GET", b"hash"], ["SET", b"b", b"2"]])

    assert pipelined(redis_client, [["GET", b"a"]]) == [b"1"]


def test_commands_that_cannot_be_made_leave_the_connection_clean(redis_client: redis.Redis) -> None:
    def commands() -> Iterator[list[bytes]]:
        yield [b"SET", b"a", b"1"]
        raise KeyError("no more")

    with pytest.raises(KeyError):
        pipelined(redis_client, commands())

    assert redis_client.get("absent") is None
