"""redis-py clients for addresses of every kind, all bounded in the same way.

redis-py retries by default, waits without end, and sends two commands of its own on each new connection;
its clients for Sentinel and Cluster have further loops. Here nothing is retried.
"""

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import Sentinel

from larder.online.server.address import Address
from larder.online.server.cluster import Cluster
from larder.online.server.one_server import OneServer


def sync_client(address: Address, timeout_seconds: float) -> redis.Redis | Cluster:
    """Connects on first use; a Cluster is asked for its nodes at once."""
    bounds = _bounds(timeout_seconds)
    retry = Retry(NoBackoff(), 0)
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return Cluster(startup_nodes=nodes, retry=retry, **address.options, **bounds)
    if address.kind == "sentinel":
        sentinels = Sentinel(address.hosts, sentinel_kwargs={**address.sentinel_options, **bounds, "retry": retry})
        return sentinels.master_for(address.service, **address.options, **bounds, retry=retry)
    connections = _connection_class(address, redis.connection)
    pool = redis.ConnectionPool(connections, **_server_options(address), **bounds, retry=retry)
    return OneServer.from_pool(pool)


def async_client(address: Address, timeout_seconds: float) -> "redis.asyncio.Redis | redis.asyncio.RedisCluster":
    """Connects on first use."""
    bounds = _bounds(timeout_seconds)
    retry = AsyncRetry(NoBackoff(), 0)
    if address.kind == "cluster":
        nodes = [AsyncClusterNode(host, port) for host, port in address.hosts]
        return redis.asyncio.RedisCluster(startup_nodes=nodes, retry=retry, **address.options, **bounds)
    if address.kind == "sentinel":
        sentinels = AsyncSentinel(address.hosts, sentinel_kwargs={**address.sentinel_options, **bounds, "retry": retry})
        return sentinels.master_for(
            address.service, connection_pool_class=_ClosingPool, **address.options, **bounds, retry=retry
        )
    connections = _connection_class(address, redis.asyncio.connection)
    pool = redis.asyncio.ConnectionPool(connections, **_server_options(address), **bounds, retry=retry)
    return redis.asyncio.Redis.from_pool(pool)


class _ClosingPool(AsyncSentinelPool):
    """Closes the connections to the Sentinels with those to the master; redis-py leaves them to the garbage."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def _bounds(timeout_seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "decode_responses": False,
        "protocol": 2,
        "driver_info": None,  # saves two round trips on each new connection
    }


def _connection_class(address: Address, module: Any) -> Any:
    if address.kind == "socket":
        return module.UnixDomainSocketConnection
    return module.SSLConnection if address.is_tls else module.Connection


def _server_options(address: Address) -> dict[str, Any]:
    options = {name: value for name, value in address.options.items() if name != "ssl"}
    if address.hosts:
        options["host"], options["port"] = address.hosts[0]
    return options
