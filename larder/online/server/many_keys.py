"""Commands over many keys, on any kind of Redis: one round trip, whatever the number of keys and nodes."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from larder.online.packed.keys import ViewKeys, whole_keys

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from larder.online.server.cluster import Cluster

Values = list[bytes | None]
Packed = Sequence[bytes | memoryview]
"""A command as it goes to the server, in pieces."""


def multi_get(client: "redis.Redis") -> Callable[[Sequence[bytes]], Values]:
    """A function from keys to their values in the same order, None where there is none.

    Decided once per client. A Cluster answers one MGET per slot; all views of one entity share a slot.
    """
    from larder.online.server.cluster import Cluster  # with redis-py, which is slow to import
    from larder.online.server.one_server import OneServer

    if isinstance(client, Cluster):
        return lambda keys: _values_in_cluster(client, keys)
    ask = client.answer if isinstance(client, OneServer) else client.execute_command
    return lambda keys: ask("MGET", *keys)


def multi_get_views(client: "redis.Redis") -> Callable[[Sequence[ViewKeys], int], Iterable[bytes | None]]:
    """As `multi_get`, for a caller who looks at the values of the first so many views while Redis looks up the others.

    Draw all values: those that nobody draws cost the connection. On a Cluster all come at once.
    """
    from larder.online.server.one_server import OneServer, packed_command

    if not isinstance(client, OneServer):
        all_at_once = multi_get(client)
        return lambda views, _: all_at_once(keys) if (keys := whole_keys(views)) else ()

    def values(views: Sequence[ViewKeys], first: int) -> Iterable[bytes | None]:
        if not any(entities for _, entities in views):
            return ()
        parts = (views[:first], views[first:]) if first < len(views) else (views,)
        return chain.from_iterable(client.answers(packed_command("MGET", part) for part in parts))

    return values


def multi_get_async(client: "redis.asyncio.Redis") -> Callable[[Sequence[bytes]], Awaitable[Values]]:
    """`multi_get` for a client of `connect_async`."""
    import redis.asyncio

    async def values(keys: Sequence[bytes]) -> Values:
        found: Values = await client.execute_command("MGET", *keys)
        return found

    async def values_in_cluster(keys: Sequence[bytes]) -> Values:
        return await _values_in_async_cluster(client, keys)

    return values_in_cluster if isinstance(client, redis.asyncio.RedisCluster) else values


def pipelined(client: "redis.Redis", commands: Iterable[Sequence[Any]]) -> list[Any]:
    """The answers to commands for one server, which works on the first while the next are packed.

    A pipeline of redis-py packs all before it sends any. Answers should be short: none is read before all commands are
    sent. Raises redis-py's error for the first command that the server refuses; those after it may be carried out.
    """
    return _answers(client, lambda connection: (connection.pack_command(*command) for command in commands))


def pipelined_packed(client: "redis.Redis", commands: Iterable[Packed]) -> list[Any]:
    """As `pipelined`, for commands that are packed already."""
    return _answers(client, lambda _: commands)


def _answers(client: "redis.Redis", packed: Callable[[Any], Iterable[Packed]]) -> list[Any]:
    connection = client.connection_pool.get_connection()
    try:
        sent = 0
        for command in packed(connection):
            connection.send_packed_command(command)
            sent += 1
        return [connection.read_response() for _ in range(sent)]
    except BaseException:
        connection.disconnect()  # answers that nobody read must not become those of later commands
        raise
    finally:
        client.connection_pool.release(connection)


def multi_delete(client: "redis.Redis", keys: Sequence[bytes]) -> None:
    """Delete the keys; the server frees their memory in the background."""
    from larder.online.server.cluster import Cluster, places_by_slot

    if isinstance(client, Cluster):
        slots = places_by_slot(keys)
        client.run([(slot, ("UNLINK", *[keys[place] for place in places])) for slot, places in slots.items()])
    elif keys:
        client.unlink(*keys)


def _values_in_cluster(client: "Cluster", keys: Sequence[bytes]) -> Values:
    from larder.online.server.cluster import places_by_slot

    slots = places_by_slot(keys)
    answers = client.run([(slot, ("MGET", *[keys[place] for place in places])) for slot, places in slots.items()])
    return _in_order(slots, answers, len(keys))


async def _values_in_async_cluster(client: Any, keys: Sequence[bytes]) -> Values:
    from redis.exceptions import ConnectionError, TimeoutError

    from larder.online.server.cluster import places_by_slot

    slots = places_by_slot(keys)
    pipeline = client.pipeline()
    for places in slots.values():
        pipeline.execute_command("MGET", *[keys[place] for place in places])
    try:
        answers = await pipeline.execute()
    except (ConnectionError, TimeoutError):
        await client.aclose()  # the next call learns anew which node has which slots
        raise
    return _in_order(slots, answers, len(keys))


def _in_order(slots: dict[int, list[int]], answers: Sequence[Values], number: int) -> Values:
    values: Values = [None] * number
    for places, found in zip(slots.values(), answers, strict=True):
        for place, value in zip(places, found, strict=True):
            values[place] = value
    return values
