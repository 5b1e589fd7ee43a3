"""Feast's online store interface: the class that `online_store.type` names."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeGuard

from feast import Entity, FeatureView, RepoConfig
from feast.infra.infra_object import InfraObject
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.online_response import OnlineResponse
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from pydantic import PositiveFloat, StrictStr

from larder.contracts.errors import ConfigurationError, UnsupportedError
from larder.contracts.settings import Settings, load_settings
from larder.feast_errors import told_to_feast
from larder.online.feast_values import EntityRow
from larder.online.layouts.checks import EntityRows, Features
from larder.online.layouts.clients import Clients
from larder.online.layouts.feast import FeastLayout
from larder.online.layouts.packed import PackedLayout, StoredRow
from larder.online.server.connection import SERVING_TIMEOUT_SECONDS, redis_failures
from larder.online.server.embedded import EMBEDDED, online_address
from larder.store_settings import StoreSettings


class RedisOnlineStoreConfig(StoreSettings):
    """`online_store:` in feature_store.yaml."""

    type: StrictStr = "larder.online.RedisOnlineStore"
    connection_string: StrictStr = EMBEDDED
    """`embedded` or an address as docs/redis_servers.md lists them; LARDER_REDIS overrides it."""
    layout: Literal["larder", "feast"] = "larder"
    """`feast`: read and write the hashes of Feast's own Redis store, for servers that know no other."""
    read_timeout_seconds: PositiveFloat = SERVING_TIMEOUT_SECONDS
    """How long a read may wait for Redis to connect, and for each part of its answer; layout `larder` only."""


class RedisOnlineStore(OnlineStore):
    """Latest values in Redis, in the layout that the configuration names.

    Every failure of Redis is an OnlineStoreError, and every LarderError a FeastError as well. One object serves one
    configuration at a time.
    """

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[EntityRow], progress: Callable[[int], Any] | None
    ) -> None:
        """Store rows; an instant without time zone is UTC."""
        with self._layout(config) as (layout, config):
            layout.online_write_batch(config, table, data, progress)

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[EntityRow], progress: Callable[[int], Any] | None
    ) -> None:
        with self._layout(config) as (layout, config):
            await layout.online_write_batch_async(config, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[StoredRow]:
        """Event timestamp and values per key."""
        with self._layout(config) as (layout, config):
            rows: list[StoredRow] = layout.online_read(config, table, entity_keys, requested_features)
            return rows

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[StoredRow]:
        with self._layout(config) as (layout, config):
            rows: list[StoredRow] = await layout.online_read_async(config, table, entity_keys, requested_features)
            return rows

    def get_online_features(
        self,
        config: RepoConfig,
        features: Features,
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """Values and statuses of all rows, from all views in one round trip; on-demand views as Feast runs them."""
        with self._layout(config) as (layout, config):
            return layout.get_online_features(
                config,
                features,
                entity_rows,
                registry,
                project,
                full_feature_names,
                include_feature_view_version_metadata,
            )

    async def get_online_features_async(
        self,
        config: RepoConfig,
        features: Features,
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        with self._layout(config) as (layout, config):
            return await layout.get_online_features_async(
                config,
                features,
                entity_rows,
                registry,
                project,
                full_feature_names,
                include_feature_view_version_metadata,
            )

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Delete the data of the deleted views, once it is known that the kept ones can be stored."""
        with self._layout(config) as (layout, config):
            layout.update(config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial)

    def plan(self, config: RepoConfig, desired_registry_proto: Registry) -> list[InfraObject]:
        with self._layout(config) as (layout, config):
            objects: list[InfraObject] = layout.plan(config, desired_registry_proto)
            return objects

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete the data of the project; layout `feast`: that of `tables`."""
        with self._layout(config) as (layout, config):
            layout.teardown(config, tables, entities)

    @told_to_feast()
    def retrieve_online_documents(self, *_: Any, **__: Any) -> Any:
        raise _no_vector_search()

    @told_to_feast()
    def retrieve_online_documents_v2(self, *_: Any, **__: Any) -> Any:
        raise _no_vector_search()

    async def initialize(self, config: RepoConfig) -> None:
        """Connect now, so that a server that does not answer is found at start-up."""
        with self._layout(config) as (layout, config):
            await layout.initialize(config)

    async def close(self) -> None:
        """Close the connections; the next use opens them again."""
        if hasattr(self, "_clients"):
            await self._clients.close()

    @contextmanager
    def _layout(self, config: RepoConfig) -> Iterator[tuple[OnlineStore, RepoConfig]]:
        """The layout and the configuration that it understands."""
        with told_to_feast():
            online = config.online_store
            if getattr(self, "_configured", None) is not online:
                settings = load_settings(near=config.repo_path)
                self._clients = Clients(configured_address(online, settings), online.read_timeout_seconds)
                self._packed = PackedLayout(self._clients, settings.clock)
                self._feast = FeastLayout(self._clients)
                self._configured = online
            with redis_failures(self._clients.address):
                if online.layout == "feast":
                    yield self._feast, self._feast.configuration(config)
                else:
                    yield self._packed, config


def configured_address(config: RedisOnlineStoreConfig, settings: Settings) -> str:
    """LARDER_REDIS, else the store's connection string; starts the embedded server where that is asked for."""
    return online_address(settings, config.connection_string)


def is_packed(online: Any) -> TypeGuard[RedisOnlineStoreConfig]:
    """Whether the configured store `online` is ours and holds packed records."""
    return isinstance(online, RedisOnlineStoreConfig) and online.layout == "larder"


def packed_address(online: Any, settings: Settings) -> str:
    """Where the packed records are that `online`, the configured store, holds.

    Raises ConfigurationError for another store or layout.
    """
    if not is_packed(online):
        raise ConfigurationError(
            f"The online store is {online.type} with layout {getattr(online, 'layout', 'of its own')!r}, which holds "
            "no packed records. Set online_store.type to larder.online.RedisOnlineStore and leave `layout` out."
        )
    return configured_address(online, settings)


def _no_vector_search() -> UnsupportedError:
    return UnsupportedError(
        "larder.online.RedisOnlineStore has no vector search: it finds values by entity key only. "
        "Keep embeddings in a store that has it (Feast's Milvus, Qdrant or pgvector) and read them from there."
    )
