"""The Redis and the small project of the proof's tests, for erasure."""

from tests.online.conftest import own_redis, redis_client, redis_settings
from tests.verify.conftest import shop

__all__ = ["own_redis", "redis_client", "redis_settings", "shop"]
