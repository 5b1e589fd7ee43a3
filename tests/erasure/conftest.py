"""The Redis and the small project of the proof's tests, for erasure, and `larder erase` as a user calls it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from larder.contracts.settings import Settings
from larder.erasure.cli import erase
from tests.online.conftest import own_redis, redis_client, redis_settings
from tests.online.rows import visits
from tests.verify.conftest import shop
from tests.verify.shop import Shop, shop_settings

__all__ = ["own_redis", "redis_client", "redis_settings", "shop"]

Erase = Callable[..., Result]


@pytest.fixture
def settings(shop: Shop, tmp_path: Path) -> Settings:
    """Users a, b and c with one visit each, online; b and c have orders, under another name."""
    settings = shop_settings(shop, tmp_path)
    orders = visits(("b", 0, 0, 5.0), ("b", 1, 1, 6.0), ("c", 0, 0, 7.0)).rename_columns({"user": "customer"})
    write_deltalake(f"{settings.lake}/orders", orders)
    return settings


@pytest.fixture
def larder_erase(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Erase:
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(
            erase, arguments, obj=settings, input=answer, catch_exceptions=False, standalone_mode=False
        )

    return invoke
