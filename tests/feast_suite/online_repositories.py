"""Larder's online store for Feast's own universal test-suite; CONTRIBUTING.md says how to run it.

The offline side is Feast's file store: only one thing is tested at a time.
"""

import os
import tempfile
from typing import Any

from tests.universal.feature_repos.universal.data_sources.file import FileDataSourceCreator
from tests.universal.feature_repos.universal.online_store_creator import OnlineStoreCreator

from larder.contracts.settings import load_settings
from larder.online.server import embedded

# Away from the checkout, whose .env holds a replay clock: Feast's tests live in the present.
os.environ["LARDER_HOME"] = tempfile.mkdtemp(prefix="feast suite ")


class LarderRedis(OnlineStoreCreator):
    """A project's own embedded Redis."""

    def __init__(self, project_name: str, **_: Any) -> None:
        super().__init__(project_name)
        self._state = tempfile.TemporaryDirectory(prefix=f"{project_name} ")
        self._settings = load_settings({"LARDER_HOME": self._state.name})

    def create_online_store(self) -> dict[str, Any]:
        # Feast's tests of what is Redis's own return at once while this is "True", as it must be for collecting them.
        os.environ["FEAST_IS_LOCAL_TEST"] = "False"
        # These tests prove answers, not times, and may share their machine.
        return {
            "type": "larder.online.RedisOnlineStore",
            "connection_string": embedded.start(self._settings),
            "read_timeout_seconds": 5.0,
        }

    def teardown(self) -> None:
        embedded.stop(self._settings)
        self._state.cleanup()


class OneStore(dict[str, Any]):
    """Our store under each name by which Feast picks tests that it is to pass, but once for tests of all stores."""

    def values(self) -> Any:
        return list(super().values())[:1]


LARDER = ({"type": "larder.online.RedisOnlineStore"}, LarderRedis)

AVAILABLE_OFFLINE_STORES = [("local", FileDataSourceCreator)]
AVAILABLE_ONLINE_STORES = OneStore(dict.fromkeys(("redis", "sqlite", "mongodb"), LARDER))
