"""A client of one Redis server with a short way to an answer that somebody waits for."""

import os
import select
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import redis

from larder.online.packed.keys import ViewKeys


class OneServer(redis.Redis):
    """redis-py's client, which spends as long on a command (its pool, retries and telemetry) as the server does."""

    def answer(self, name: str, *arguments: bytes) -> Any:
        """What `execute_command` returns for a command whose answer redis-py leaves as it is, for instance MGET."""
        (found,) = self.answers([packed_command(name, [ViewKeys(b"", arguments)])])
        return found

    def answers(self, commands: Iterable[bytes]) -> Iterator[Any]:
        """The answer to each packed command. All are sent at first: the server works while the caller looks.

        An open connection that waits in the pool is used as it is; without one redis-py opens it, or says why not.
        """
        connection, put_back = self._waiting(), self.connection_pool._available_connections.append
        if connection is None:
            connection, put_back = self.connection_pool.get_connection(), self.connection_pool.release
        sent, is_read = 0, False
        try:
            for command in commands:
                connection.send_packed_command([command])
                sent += 1
            for _ in range(1, sent):
                yield connection.read_response()
            last = connection.read_response()
            is_read = True
        finally:
            if not is_read:  # also when interrupted: its answer must not become that of the next command
                connection.disconnect()
            put_back(connection)
        yield last

    def _waiting(self) -> Any:
        """A connection taken out of the pool that is ready; None where the next one is not."""
        waiting = self.connection_pool._available_connections
        try:
            connection = waiting.pop()
        except IndexError:
            return None
        if _is_ready(connection):
            return connection
        waiting.append(connection)
        return None


PREFIXES_KEPT = 1_000


def packed_command(name: str, views: Sequence[ViewKeys]) -> bytes:
    """A command over all keys of all views as Redis reads it; redis-py takes five times as long."""
    pieces = [b""]
    for prefix, entities in views:
        heads = _heads(prefix)
        for entity in entities:
            pieces.append(heads[len(entity)])
            pieces.append(entity)
    arguments = 1 + len(pieces) // 2
    pieces[0] = b"*%d\r\n$%d\r\n%b" % (arguments, len(name), name.encode())
    pieces.append(b"\r\n")
    return b"".join(pieces)


class _Heads(dict[int, bytes]):
    """By the length of an entity what goes before it: the end of the argument before, the key's length, its prefix."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix

    def __missing__(self, length: int) -> bytes:
        head = b"\r\n$%d\r\n%b" % (len(self._prefix) + length, self._prefix)
        if length < 256:  # nearly all; a caller may send texts of all lengths
            self[length] = head
        return head


_heads = lru_cache(PREFIXES_KEPT)(_Heads)


def _is_ready(connection: Any) -> bool:
    """Whether it is open and of this process, and the server has neither closed it nor sent what nobody asked for."""
    if connection._sock is None or connection.pid != os.getpid():
        return False
    poll = select.poll()  # redis-py's `can_read` says the same in four times the time
    poll.register(connection._sock, select.POLLIN)
    return not poll.poll(0)
