"""The Redis of the online store's tests, for the proof."""

from pathlib import Path

import pytest
import redis

from tests.online.conftest import own_redis, redis_client, redis_settings
from tests.online.rows import at
from tests.verify.shop import Shop, opened_shop

__all__ = ["own_redis", "redis_client", "redis_settings", "shop"]


@pytest.fixture
def shop(tmp_path: Path, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A Feast project over an empty Redis, its table not written yet; for Feast it is a day after noon."""
    monkeypatch.setenv("LARDER_CLOCK", at(24 * 60).isoformat())
    return opened_shop(tmp_path, redis_client)
