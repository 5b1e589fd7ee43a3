"""A Redis client whose every call is bounded in time and whose every failure is one sentence."""

import re
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from larder.contracts.errors import OnlineStoreError

if TYPE_CHECKING:
    import redis
    import redis.asyncio

SERVING_TIMEOUT_SECONDS = 0.1
BULK_TIMEOUT_SECONDS = 10.0

# redis-py takes half a second of CPU to import: only who connects pays for it.


def connect(address: str, *, timeout_seconds: float = SERVING_TIMEOUT_SECONDS) -> "redis.Redis":
    """A client for `address`, of any kind that docs/redis_servers.md lists; threads may share it.

    It connects on first use; only a Cluster is asked for its nodes at once. `timeout_seconds` bounds both
    connecting and each wait for bytes. Nothing is retried: the caller knows better than the client how long
    an answer is worth waiting for. Raises ConfigurationError for an address that is none, OnlineStoreError
    for a Cluster that does not answer.
    """
    from larder.online.server.address import parsed_address
    from larder.online.server.clients import sync_client

    place = parsed_address(address)
    with redis_failures(place.shown):
        return sync_client(place, timeout_seconds)


def connect_async(address: str, *, timeout_seconds: float = SERVING_TIMEOUT_SECONDS) -> "redis.asyncio.Redis":
    """Like `connect`, for one event loop; a Cluster too is asked on first use only."""
    from larder.online.server.address import parsed_address
    from larder.online.server.clients import async_client

    return async_client(parsed_address(address), timeout_seconds)


def redis_failures(source: Any) -> AbstractContextManager[None]:
    """Turn every failure of Redis inside the block into an OnlineStoreError that says what to do.

    `source` is the client in use, or the address to name.
    """
    return _Failures(source)


class _Failures(AbstractContextManager[None]):
    """A class, as a generator and the imports that only a failure needs would cost each read a tenth of its time."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __exit__(self, kind: object, problem: BaseException | None, traceback: object) -> None:
        if problem is None:
            return
        from redis.exceptions import RedisClusterException, RedisError

        from larder.online.server.failures import failure_sentence

        if isinstance(problem, RedisError | RedisClusterException):
            source = self._source
            address = without_password(source) if isinstance(source, str) else client_address(source)
            raise OnlineStoreError(failure_sentence(problem, address)) from problem


def client_address(client: Any) -> str:
    """Where a client made here connects to, without its password."""
    if hasattr(client, "nodes_manager"):
        return f"redis+cluster://{','.join(client.nodes_manager.startup_nodes)}"
    pool = client.connection_pool
    if hasattr(pool, "sentinel_manager"):
        sentinels = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
        places = ",".join(f"{options['host']}:{options['port']}" for options in sentinels)
        return f"redis+sentinel://{places}/{pool.service_name}"
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{quote(options['path'])}?db={options.get('db', 0)}"
    from redis import SSLConnection

    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    return f"{scheme}://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"


def without_password(address: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"//.*@", "//***@", address))
