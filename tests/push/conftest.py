"""The tests of materialization use the Redis of the online store's tests."""

from tests.online.conftest import redis_client, redis_settings

__all__ = ["redis_client", "redis_settings"]
