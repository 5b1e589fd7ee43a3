"""The layout `feast`: the hashes of Feast's own Redis store, read and written by that store over our connections."""

from typing import Any

from feast import RepoConfig
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

from larder.online.layouts.clients import Clients


class FeastLayout(RedisOnlineStore):
    """Feast's store as it is: its statuses, its writes and its deletes."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def configuration(self, config: RepoConfig) -> RepoConfig:
        """`config` as Feast's store wants it; the address in it is never used."""
        copied = config.model_copy()
        copied._online_store = RedisOnlineStoreConfig()
        return copied

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> Any:  # noqa: ARG002
        return self._clients.bulk

    async def _get_client_async(self, online_store_config: RedisOnlineStoreConfig) -> Any:  # noqa: ARG002
        return self._clients.in_loop
