"""Compare-and-swap on a real Redis: what was read is replaced, what came in between stays."""

from collections.abc import Iterator

import pytest
import redis

from larder.contracts.errors import OnlineStoreError
from larder.online.server.connection import client_address, connect
from larder.online.writing.scripts import KEYS_PER_SCRIPT
from larder.online.writing.swap import replace_if_same


@pytest.fixture
def without_scripts(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """A client whose user may not run scripts."""
    redis_client.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@scripting"])
    client = connect(client_address(redis_client).replace("://", "://plain:none@"), timeout_seconds=10)
    yield client
    client.close()
    redis_client.acl_deluser("plain")


def swapped(client: redis.Redis) -> tuple[int, dict[bytes, bytes | None]]:
    """What became of keys that were all read as `old` (and `new one` as absent)."""
    client.mset({"same": b"old", "changed": b"newer", "gone": b"old", "changed gone": b"newer"})
    keys = [b"same", b"changed", b"gone", b"changed gone", b"new one", b"deleted since"]
    replaced = replace_if_same(
        client, keys, [b"old", b"old", b"old", b"old", None, b"old"], [b"new", b"new", None, None, b"new", b"new"]
    )
    return replaced, dict(zip(keys, client.mget(keys), strict=True))


EXPECTED = {
    b"same": b"new",
    b"changed": b"newer",
    b"gone": None,
    b"changed gone": b"newer",
    b"new one": b"new",
    b"deleted since": None,
}


def test_only_what_is_still_as_it_was_read_is_replaced_or_deleted(redis_client: redis.Redis) -> None:
    assert swapped(redis_client) == (3, EXPECTED)


def test_the_same_holds_where_scripts_are_forbidden(without_scripts: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        without_scripts.eval("return 1", 0)

    assert swapped(without_scripts) == (3, EXPECTED)


def test_more_keys_than_one_script_takes_are_all_replaced(redis_client: redis.Redis) -> None:
    keys = [b"key %d" % number for number in range(2 * KEYS_PER_SCRIPT + 1)]

    assert replace_if_same(redis_client, keys, [None] * len(keys), keys) == len(keys)
    assert redis_client.mget(keys) == keys
    assert replace_if_same(redis_client, [], [], []) == 0


def test_a_key_of_another_type_is_an_error_and_stays(redis_client: redis.Redis) -> None:
    redis_client.hset("a hash", "field", "value")

    with pytest.raises(OnlineStoreError, match="WRONGTYPE"):
        replace_if_same(redis_client, [b"a hash"], [None], [b"new"])
    assert redis_client.hgetall("a hash") == {b"field": b"value"}
