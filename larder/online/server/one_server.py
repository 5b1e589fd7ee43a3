"""A client of one Redis server with a short way to an answer that somebody waits for."""

import os
import select
from typing import Any

import redis


class OneServer(redis.Redis):
    """redis-py's client, which spends as long on a command (its pool, retries and telemetry) as the server does."""

    def answer(self, *command: Any) -> Any:
        """What `execute_command` returns for a command whose answer redis-py leaves as it is, for instance MGET.

        An open connection that waits in the pool is used as it is; without one redis-py opens it, or says why not.
        """
        waiting = self.connection_pool._available_connections
        try:
            connection = waiting.pop()
        except IndexError:
            return self.execute_command(*command)
        if not _is_ready(connection):
            waiting.append(connection)
            return self.execute_command(*command)
        try:
            connection.send_packed_command(connection.pack_command(*command))
            return connection.read_response()
        except BaseException:
            connection.disconnect()  # also when interrupted: its answer must not become that of the next command
            raise
        finally:
            waiting.append(connection)


def _is_ready(connection: Any) -> bool:
    """Whether it is open and of this process, and the server has neither closed it nor sent what nobody asked for."""
    if connection._sock is None or connection.pid != os.getpid():
        return False
    poll = select.poll()  # redis-py's `can_read` says the same in four times the time
    poll.register(connection._sock, select.POLLIN)
    return not poll.poll(0)
