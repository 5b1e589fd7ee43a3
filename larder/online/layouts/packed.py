"""The layout `larder`: one packed record per entity and view, all views of a request in one round trip."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import redis
from feast import Entity, FeatureView, RepoConfig
from feast.infra.infra_object import InfraObject
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from larder.contracts.clock import Clock
from larder.online.contents import delete_project, delete_view
from larder.online.feast_values import EntityRow, rows_table, values_of
from larder.online.layouts.answer import append_versions, append_views, count_statuses
from larder.online.layouts.checks import (
    EntityRows,
    Features,
    GroupedRefs,
    check_registry,
    check_storable,
    checked_request,
)
from larder.online.layouts.clients import Clients
from larder.online.layouts.lookup import JoinKeys, Lookup, ViewLookup, joined_columns
from larder.online.layouts.response import Found, StoredResponse, entities_of
from larder.online.packed.types import instant
from larder.online.planning import projected_plan, stored_plan
from larder.online.reading.compiled import Cell, Status
from larder.online.server.health import require_fit_redis
from larder.online.writing.writer import write_records
from larder.views import is_stored, stored_outputs_warning

LOGGER = logging.getLogger(__name__)
LOOKUPS_KEPT = 256
"""Kinds of requests that stay compiled; more than one process ever makes, unless feature lists are generated."""

StoredRow = tuple[datetime | None, dict[str, Value] | None]


class PackedLayout(OnlineStore):
    """`clock` decides which values are too old, and which rows are dated in the future."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock
        self._lookups: dict[tuple[Any, ...], Lookup] = {}

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[EntityRow], progress: Callable[[int], Any] | None
    ) -> None:
        """Store each entity's latest row by (event timestamp, created timestamp). Naive instants are UTC."""
        plan = stored_plan(table, config)
        counts = write_records(self._fit, plan, config.project, rows_table(plan, data), now=self._clock())
        if counts.refused_future or counts.refused_null_key:
            LOGGER.warning(
                "View %s: %d rows dated in the future and %d with a null key were not stored.",
                table.name,
                counts.refused_future,
                counts.refused_null_key,
            )
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[EntityRow], progress: Callable[[int], Any] | None
    ) -> None:
        """`online_write_batch` in a thread: packing is work, and would keep the loop from everything else."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[StoredRow]:
        """Event timestamp and values per key; (None, None) where Redis has nothing that is young enough.

        Feast knows no third answer here; `get_online_features` tells the two apart.
        """
        lookup = _whole_view(config, table, requested_features)
        asked = lookup.asked(joined_columns(lookup.views[0].plan, entity_keys))
        (rows,) = lookup.found(asked, self._clients.get(asked.keys), self._clock())
        return [_stored_row(lookup.views[0], row) for row in rows]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[StoredRow]:
        async with self._clients.turn:
            lookup = _whole_view(config, table, requested_features)
            asked = lookup.asked(joined_columns(lookup.views[0].plan, entity_keys))
            (rows,) = lookup.found(asked, await self._clients.get_async(asked.keys), self._clock())
            return [_stored_row(lookup.views[0], row) for row in rows]

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
        """Raises InvalidDataError for entity rows, and ConfigurationError for a service, that cannot be answered."""
        request = checked_request(features, entity_rows, registry, project, full_feature_names)
        if request.is_computed or include_feature_view_version_metadata:
            names = (full_feature_names, include_feature_view_version_metadata)
            return super().get_online_features(config, features, request.columns, registry, project, *names)
        entities, join_keys = entities_of(request, features, registry, project, is_full=full_feature_names)
        lookup = self._lookup(config, request.refs)
        asked = lookup.asked(join_keys)
        found = Found(lookup, asked, self._clients.get(asked.keys), self._clock())
        return StoredResponse(entities, found, is_full=full_feature_names)

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
        async with self._clients.turn:
            request = checked_request(features, entity_rows, registry, project, full_feature_names)
            if request.is_computed or include_feature_view_version_metadata:
                names = (full_feature_names, include_feature_view_version_metadata)
                return await super().get_online_features_async(
                    config, features, request.columns, registry, project, *names
                )
            entities, join_keys = entities_of(request, features, registry, project, is_full=full_feature_names)
            lookup = self._lookup(config, request.refs)
            asked = lookup.asked(join_keys)
            found = Found(lookup, asked, await self._clients.get_async(asked.keys), self._clock())
            return StoredResponse(entities, found, is_full=full_feature_names)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002  # the interface is Feast's
        entities_to_keep: Sequence[Entity],
        partial: bool,  # noqa: ARG002
    ) -> None:
        """Check that the kept views can be stored, then delete the data of the deleted ones."""
        for table in tables_to_keep:
            check_storable(table, entities_to_keep)
            if is_stored(table):
                LOGGER.warning("%s", stored_outputs_warning(table.name))
        for table in tables_to_delete:
            delete_view(self._clients.bulk, config.project, table.name)

    def plan(self, config: RepoConfig, desired_registry_proto: Registry) -> list[InfraObject]:  # noqa: ARG002
        """Nothing to set up in Redis; what `feast apply` would refuse is refused here as well."""
        check_registry(desired_registry_proto)
        return []

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:  # noqa: ARG002
        """Delete all data of the project: Feast calls this to end it, and names no stream view among `tables`."""
        delete_project(self._clients.bulk, config.project)

    async def initialize(self, config: RepoConfig) -> None:  # noqa: ARG002
        """Raise OnlineStoreError now for a Redis that does not answer or would lose features, not at a request."""
        await asyncio.to_thread(require_fit_redis, self._clients.bulk)

    async def close(self) -> None:
        await self._clients.close()

    def _is_versioned_read_supported(self) -> bool:
        return True

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: GroupedRefs,
        join_key_values: JoinKeys,
        entity_name_to_join_key_map: dict[str, str],  # noqa: ARG002
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """Feast's hook inside `get_online_features`, with request data before it and on-demand views after it."""
        lookup = self._lookup(config, grouped_refs)
        asked = lookup.asked(join_key_values)
        found = lookup.found(asked, self._clients.get(asked.keys), self._clock())
        with_versions = include_feature_view_version_metadata
        _append(online_features_response, lookup, found, is_full=full_feature_names, with_versions=with_versions)

    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: GroupedRefs,
        join_key_values: JoinKeys,
        entity_name_to_join_key_map: dict[str, str],  # noqa: ARG002
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        lookup = self._lookup(config, grouped_refs)
        asked = lookup.asked(join_key_values)
        found = lookup.found(asked, await self._clients.get_async(asked.keys), self._clock())
        with_versions = include_feature_view_version_metadata
        _append(online_features_response, lookup, found, is_full=full_feature_names, with_versions=with_versions)

    @cached_property
    def _fit(self) -> redis.Redis:
        """The client for writes; Redis is looked at once, before the first of them."""
        require_fit_redis(self._clients.bulk)
        return self._clients.bulk

    def _lookup(self, config: RepoConfig, refs: GroupedRefs) -> Lookup:
        """The views of a request, compiled when they are first asked for.

        Feast resolves a request once per state of its registry and then hands over the same view objects, so that
        their identity tells whether anything was applied since; the lookups keep them, so no identity recurs.
        """
        kind = (config.project, *((id(view), *names) for view, names in refs))
        lookup = self._lookups.get(kind)
        if lookup is None:
            if len(self._lookups) >= LOOKUPS_KEPT:
                self._lookups.clear()
            views = [ViewLookup(projected_plan(view, view.projection, config), view, names) for view, names in refs]
            lookup = self._lookups[kind] = Lookup(config.project, views)
        return lookup


def _append(
    response: GetOnlineFeaturesResponse,
    lookup: Lookup,
    found: Sequence[Sequence[Cell]],
    *,
    is_full: bool,
    with_versions: bool,
) -> None:
    for view, rows in zip(lookup.views, found, strict=True):
        count_statuses(view, [status for status, _, _ in rows])
    append_views(response, lookup.views, found, is_full=is_full)
    if with_versions:
        append_versions(response, lookup.views)


def _whole_view(config: RepoConfig, view: FeatureView, names: list[str] | None) -> Lookup:
    plan = stored_plan(view, config)
    return Lookup(config.project, [ViewLookup(plan, view, names or [feature.name for feature in plan.features])])


def _stored_row(view: ViewLookup, row: Cell) -> StoredRow:
    status, event_timestamp, values = row
    if status is not Status.PRESENT or event_timestamp is None:
        return None, None
    found = {view.plan.features[place]: values[place] for place in view.places}
    return instant(event_timestamp), {
        f.name: values_of(view.plan.reference, f, [value])[0] for f, value in found.items()
    }
