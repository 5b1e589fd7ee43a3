"""A client of one Redis server with a short way to an answer that somebody waits for."""

import os
import select
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import redis


class OneServer(redis.Redis):
    """redis-py's client, which spends as long on a command (its pool, retries and telemetry) as the server does."""

    def answer(self, name: str, *arguments: bytes) -> Any:
        """What `execute_command` returns for a command whose answer redis-py leaves as it is, for instance MGET.

        An open connection that waits in the pool is used as it is; without one redis-py opens it, or says why not.
        """
        connection = self._waiting()
        if connection is None:
            return self.execute_command(name, *arguments)
        try:
            connection.send_packed_command([_packed(name, arguments)])
            return connection.read_response()
        except BaseException:
            connection.disconnect()  # also when interrupted: its answer must not become that of the next command
            raise
        finally:
            self.connection_pool._available_connections.append(connection)

    def answers(self, name: str, *parts: Sequence[bytes]) -> Iterator[Any]:
        """`answer` to the arguments of each part. All are sent at first: the server works while the caller looks."""
        connection = self._waiting()
        if connection is None:
            yield from [self.execute_command(name, *part) for part in parts]
            return
        is_read = False
        try:
            for part in parts:
                connection.send_packed_command([_packed(name, part)])
            for _ in parts[1:]:
                yield connection.read_response()
            last = connection.read_response()
            is_read = True
        finally:
            if not is_read:
                connection.disconnect()
            self.connection_pool._available_connections.append(connection)
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


_HEADS = tuple(b"\r\n$%d\r\n" % length for length in range(256))
"""What goes before an argument of so many bytes, and ends the one before it."""


def _packed(name: str, arguments: Sequence[bytes]) -> bytes:
    """The command as Redis reads it; redis-py takes three times as long."""
    head = b"*%d\r\n$%d\r\n%b" % (1 + len(arguments), len(name), name.encode())
    try:
        heads = [*map(_HEADS.__getitem__, map(len, arguments))]
    except IndexError:  # a text key may be longer
        heads = [b"\r\n$%d\r\n" % len(argument) for argument in arguments]
    return b"".join((head, *chain.from_iterable(zip(heads, arguments, strict=True)), b"\r\n"))


def _is_ready(connection: Any) -> bool:
    """Whether it is open and of this process, and the server has neither closed it nor sent what nobody asked for."""
    if connection._sock is None or connection.pid != os.getpid():
        return False
    poll = select.poll()  # redis-py's `can_read` says the same in four times the time
    poll.register(connection._sock, select.POLLIN)
    return not poll.poll(0)
