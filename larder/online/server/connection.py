"""A Redis client whose every call is bounded in time and whose every failure is one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from larder.contracts.errors import ConfigurationError, OnlineStoreError

if TYPE_CHECKING:
    import redis

SERVING_TIMEOUT_SECONDS = 0.1
BULK_TIMEOUT_SECONDS = 10.0
SCHEMES = ("redis://", "rediss://", "unix://")


def connect(address: str, *, timeout_seconds: float = SERVING_TIMEOUT_SECONDS) -> "redis.Redis":
    """A client for `address`; it connects on first use and may be shared by threads.

    `timeout_seconds` bounds both connecting and each wait for bytes. Nothing is retried: the caller
    knows better than the client how long an answer is worth waiting for.
    """
    if not address.startswith(SCHEMES):
        raise ConfigurationError(
            f"The Redis address is {without_password(address)!r}; it must begin with {', '.join(SCHEMES)}, "
            "for example redis://localhost:6379/0. Set LARDER_REDIS."
        )
    import redis  # half a second of CPU: only who connects pays for it
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        return redis.Redis.from_url(
            address,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            decode_responses=False,
            protocol=2,
            driver_info=None,  # saves two round trips on each new connection
        )
    except ValueError as problem:
        raise ConfigurationError(
            f"The Redis address {without_password(address)!r} cannot be read: {problem}. Set LARDER_REDIS."
        ) from None


@contextmanager
def redis_failures(client: "redis.Redis") -> Iterator[None]:
    """Turn every failure of Redis inside the block into an OnlineStoreError that says what to do."""
    from redis.exceptions import ConnectionError, RedisError, TimeoutError

    try:
        yield
    except (ConnectionError, TimeoutError) as problem:
        raise OnlineStoreError(
            f"Redis at {client_address(client)} does not answer: {problem}. "
            "Start it with `larder up` or set LARDER_REDIS."
        ) from problem
    except RedisError as problem:
        raise OnlineStoreError(
            f"Redis at {client_address(client)} refused: {problem}. Look at its log, or set LARDER_REDIS to another."
        ) from problem


def client_address(client: "redis.Redis") -> str:
    """Where the client connects to, without its password."""
    options = client.connection_pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    return f"redis://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"


def without_password(address: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"//([^/@]*)@", "//***@", address)
