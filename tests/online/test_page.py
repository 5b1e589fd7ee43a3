"""docs/online_store.md, read as a program."""

import re
import textwrap
from pathlib import Path

import pytest
import redis
import yaml

from larder.contracts.settings import Settings
from larder.online import RedisOnlineStoreConfig
from larder.online.server.embedded import online_address
from tests.online import feast_shop

PAGE = Path(__file__).parent.parent.parent / "docs" / "online_store.md"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def test_the_code_of_the_page_runs_from_top_to_bottom(
    tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))  # away from the checkout, whose .env holds a replay clock
    (section,) = blocks("yaml")
    online = yaml.safe_load(section)["online_store"] | {"connection_string": online_address(redis_settings)}
    namespace = {"store": feast_shop.project_store(tmp_path, "page", online | {"read_timeout_seconds": 5.0})}

    for block in blocks("python"):
        exec(block, namespace)

    assert redis_client.dbsize() == 3


def test_the_page_explains_every_setting_of_the_store() -> None:
    (table,) = re.findall(r"^\| Setting in .*?\n\n", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    explained = set(re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE))

    assert explained == set(RedisOnlineStoreConfig.model_fields) - {"type"}
