"""A real redis-server of its own for the tests, in a folder whose name has a space."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from larder.contracts.settings import Settings, load_settings
from larder.online.server import embedded
from larder.online.server.connection import connect


@pytest.fixture(scope="session")
def redis_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings whose embedded Redis runs for the whole test session."""
    home = tmp_path_factory.mktemp("my larder")
    settings = replace(load_settings({"LARDER_HOME": str(home)}), state=home / "state")
    embedded.start(settings)
    yield settings
    embedded.stop(settings)


@pytest.fixture
def redis_client(redis_settings: Settings) -> Iterator[redis.Redis]:
    """A client of the embedded Redis, which is empty when a test begins."""
    client = connect(embedded.online_address(redis_settings), timeout_seconds=10)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Settings]:
    """Settings for a Redis that the test may stop, kill or freeze; it is not started yet."""
    settings = replace(load_settings({"LARDER_HOME": str(tmp_path)}), state=tmp_path / "a state")
    yield settings
    embedded.stop(settings)
