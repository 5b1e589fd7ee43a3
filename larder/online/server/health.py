"""Whether a Redis is fit to be an online store: versions, persistence, eviction."""

from dataclasses import dataclass

import redis

from larder.online.server.connection import redis_failures


@dataclass(frozen=True)
class RedisHealth:
    version: str
    keys: int
    used_memory_mb: float
    persistence: str
    """In words: what survives a crash of the server."""
    warnings: tuple[str, ...]
    """What should be changed before the server holds features; empty when nothing."""


def redis_health(client: redis.Redis) -> RedisHealth:
    """The state of the server. Raises OnlineStoreError when it does not answer."""
    with redis_failures(client):
        info = client.info()
        keys = client.dbsize()
    warnings = []
    if not info["aof_enabled"]:
        warnings.append("No append-only file: a crash loses what was written. Set `appendonly yes`.")
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        warnings.append(f"maxmemory-policy is {policy}: Redis drops features silently. Set `noeviction`.")
    return RedisHealth(
        version=info["redis_version"],
        keys=keys,
        used_memory_mb=info["used_memory"] / 2**20,
        persistence="append-only file" if info["aof_enabled"] else "none or snapshots only",
        warnings=tuple(warnings),
    )
