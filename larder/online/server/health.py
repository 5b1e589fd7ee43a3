"""Whether a Redis is fit to be an online store: version, role, persistence, eviction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import NoPermissionError, ResponseError

from larder.contracts.errors import OnlineStoreError
from larder.online.server.connection import client_address, redis_failures

OLDEST_VERSION = (6, 2)
"""The oldest that the tests run against."""


@dataclass(frozen=True)
class RedisHealth:
    """Of a Cluster: of all its primaries together."""

    version: str
    keys: int
    used_memory_mb: float
    persistence: str
    """In words: what survives a crash of the server."""
    warnings: tuple[str, ...]
    """What should be changed before the server holds features, or could not be checked; empty when nothing."""
    evicts: bool
    """Whether Redis would drop features silently once its memory is full."""


def redis_health(client: redis.Redis) -> RedisHealth:
    """The state of the server, or of each primary of a Cluster.

    Raises OnlineStoreError when one does not answer, is a read-only replica, still loads its data or is too old.
    What the user may not ask is a warning.
    """
    with redis_failures(client):
        if not hasattr(client, "get_primaries"):
            return _server_health(client, client_address(client))
        parts = [_server_health(client.get_redis_connection(node), node.name) for node in client.get_primaries()]
    return RedisHealth(
        version=_joined(part.version for part in parts),
        keys=sum(part.keys for part in parts),
        used_memory_mb=sum(part.used_memory_mb for part in parts),
        persistence=_joined(part.persistence for part in parts),
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
        evicts=any(part.evicts for part in parts),
    )


def require_fit_redis(client: redis.Redis) -> RedisHealth:
    """The state of a server that features may be written to.

    Raises OnlineStoreError also where Redis would drop features silently.
    """
    health = redis_health(client)
    if health.evicts:
        raise OnlineStoreError(f"Redis at {client_address(client)} would lose features. {' '.join(health.warnings)}")
    return health


def refusal(info: Mapping[str, Any], address: str) -> str | None:
    """Why a server with this INFO can be no online store; None when it can."""
    if info.get("redis_mode") == "sentinel":
        return f"{address} is a Sentinel, which holds no data. Set LARDER_REDIS to redis+sentinel://host:port/service."
    if info.get("role") == "slave":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        return (
            f"Redis at {address} is a read-only replica of {master}. Set LARDER_REDIS to its master redis://{master}."
        )
    if info.get("loading"):
        return (
            f"Redis at {address} is still loading its data, {float(info.get('loading_loaded_perc', 0)):.0f} % so far. "
            f"Try again in about {max(1, int(info.get('loading_eta_seconds', 1)))} s."
        )
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers and numbers < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        return f"Redis at {address} has version {version}; Larder needs {oldest} or later. Upgrade it."
    return None


def _server_health(client: redis.Redis, address: str) -> RedisHealth:
    info = _permitted(client.info)
    if info is None:
        return RedisHealth(
            version="(unknown)",
            keys=client.dbsize(),
            used_memory_mb=0.0,
            persistence="unknown",
            warnings=("Not checked: version, role, persistence and eviction, since the user may not run INFO.",),
            evicts=False,
        )
    refused = refusal(info, address)
    if refused:
        raise OnlineStoreError(refused)
    settings = _settings(client)
    return RedisHealth(
        version=info["redis_version"],
        keys=client.dbsize(),
        used_memory_mb=info["used_memory"] / 2**20,
        persistence=_persistence(info, settings),
        warnings=(*_persistence_warnings(info, settings), *_eviction_warnings(info)),
        evicts=bool(info.get("maxmemory")) and _policy(info).startswith("allkeys"),
    )


def _permitted(ask: Any, *arguments: str) -> Any:
    """What Redis answers; None where this user, or a hosted Redis, is not allowed to ask."""
    try:
        return ask(*arguments)
    except NoPermissionError:
        return None
    except ResponseError as problem:
        if "unknown command" in str(problem):
            return None
        raise


def _settings(client: redis.Redis) -> Mapping[str, str]:
    """Settings that INFO does not tell, those that may be asked."""
    settings: dict[str, str] = {}
    for name in ("appendfsync", "save"):
        settings |= _permitted(client.config_get, name) or {}
    return settings


def _persistence(info: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    if info.get("aof_enabled"):
        interval = settings.get("appendfsync")
        return f"append-only file ({f'appendfsync {interval}' if interval else 'appendfsync could not be asked'})"
    if "save" not in settings:
        return "snapshots at most"
    return f"snapshots only (save {settings['save']})" if settings["save"] else "none"


def _persistence_warnings(info: Mapping[str, Any], settings: Mapping[str, str]) -> list[str]:
    warnings = []
    if not info.get("aof_enabled"):
        lost = "everything" if settings.get("save") == "" else "what was written since the last snapshot"
        warnings.append(f"No append-only file: a crash loses {lost}. Set `appendonly yes`.")
    elif settings.get("appendfsync") == "no":
        warnings.append("appendfsync is no: a crash of the machine loses half a minute. Set `appendfsync everysec`.")
    if info.get("aof_last_write_status", "ok") != "ok":
        warnings.append("The append-only file could not be written. Look at the disk and the server's log.")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        warnings.append("The last snapshot failed. Look at the disk and the server's log.")
    return warnings


def _eviction_warnings(info: Mapping[str, Any]) -> list[str]:
    policy = _policy(info)
    if policy == "noeviction":
        return []
    if policy.startswith("volatile"):
        return [f"maxmemory-policy is {policy}: no record of Larder expires, so none is dropped. Prefer `noeviction`."]
    when = "once its memory is full" if info.get("maxmemory") else "as soon as a maxmemory is set"
    return [f"maxmemory-policy is {policy}: Redis drops features silently {when}. Set `noeviction`."]


def _policy(info: Mapping[str, Any]) -> str:
    return str(info.get("maxmemory_policy", "noeviction"))


def _joined(words: Any) -> str:
    return ", ".join(sorted(set(words)))
