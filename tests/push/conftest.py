"""The tests of materialization use the Redis of the online store's tests."""

from pathlib import Path

import pytest

from tests.online.conftest import redis_client, redis_settings
from tests.push.history import Table

__all__ = ["redis_client", "redis_settings", "table"]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table.made(tmp_path / "scores", [("a", 1, 1, 1.0), ("b", 2, 2, 2.0)])
