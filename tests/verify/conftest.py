"""The Redis of the online store's tests, for the proof."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.online.conftest import own_redis, redis_client, redis_settings
from tests.verify.shop import Shop, opened_shop

__all__ = ["own_redis", "redis_client", "redis_settings", "shop"]


@pytest.fixture
def shop(tmp_path: Path, redis_client: redis.Redis) -> Iterator[Shop]:
    """A Feast project over an empty Redis, its table not written yet."""
    yield opened_shop(tmp_path, redis_client)
