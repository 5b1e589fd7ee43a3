"""Feast's online store interface over packed records."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import redis
from feast import Entity, FeatureView, RepoConfig
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from pydantic import StrictStr

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.plan import Feature, ViewPlan
from larder.contracts.settings import Settings, load_settings
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.contents import delete_view, read_view
from larder.online.packed.arrow_types import arrow_type
from larder.online.packed.record import EPOCH
from larder.online.planning import view_plan
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.server.embedded import EMBEDDED, online_address
from larder.online.writer import write_records

EntityRow = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]
StoredRow = tuple[datetime | None, dict[str, Value] | None]

VALUE_FIELDS = {
    "float64": "double_val",
    "float32": "float_val",
    "int64": "int64_val",
    "int32": "int32_val",
    "bool": "bool_val",
    "string": "string_val",
    "bytes": "bytes_val",
    "unix_timestamp": "unix_timestamp_val",
}
"""Field of Feast's Value for each type; its timestamps count whole seconds."""


class RedisOnlineStoreConfig(FeastConfigBaseModel):
    """`online_store:` in feature_store.yaml."""

    type: StrictStr = "larder.online.RedisOnlineStore"
    connection_string: StrictStr = EMBEDDED
    """`embedded` or a `redis://`, `rediss://` or `unix://` address; LARDER_REDIS overrides it."""


class RedisOnlineStore(OnlineStore):
    """Latest values in Redis. A missing record and one past its ttl are both reported as not found,
    since Feast's interface knows no third answer; `FeatureReader` tells them apart."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[EntityRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Store each entity's latest row by (event timestamp, created timestamp). Naive instants are UTC."""
        plan = view_plan(table)
        now = self._settings.clock()
        write_records(self._client(config), plan, config.project, _table(plan, data), now=now)
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[StoredRow]:
        """Event timestamp and values per key; (None, None) where Redis has nothing that is young enough."""
        plan = view_plan(table)
        keys = _keys_table(plan, entity_keys)
        rows = read_view(self._client(config), plan, config.project, keys)
        now = self._settings.clock()
        names = [f for f in plan.features if requested_features is None or f.name in requested_features]
        columns = [[_value(item, f.dtype) for item in rows[f.name].to_pylist()] for f in names]
        answers: list[StoredRow] = []
        for index, event_timestamp in enumerate(rows[EVENT_TIMESTAMP].to_pylist()):
            if event_timestamp is None or _is_too_old(plan, event_timestamp, now):
                answers.append((None, None))
            else:
                answers.append((event_timestamp, {f.name: c[index] for f, c in zip(names, columns, strict=True)}))
        return answers

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
            if not isinstance(table, FeatureView):
                raise ConfigurationError(
                    f"View {table.name!r} is a {type(table).__name__}; the online store keeps feature views only. "
                    "On-demand views run at request time: take write_to_online_store off."
                )
            view_plan(table, [entity for entity in entities_to_keep if entity.name in table.entities])
        for table in tables_to_delete:
            delete_view(self._client(config), config.project, table.name)

    def teardown(
        self,
        config: RepoConfig,
        tables: Sequence[FeatureView],
        entities: Sequence[Entity],  # noqa: ARG002
    ) -> None:
        """Delete the data of `tables`."""
        for table in tables:
            delete_view(self._client(config), config.project, table.name)

    @cached_property
    def _settings(self) -> Settings:
        return load_settings()

    def _client(self, config: RepoConfig) -> redis.Redis:
        if not hasattr(self, "_connected"):
            address = configured_address(config.online_store, self._settings)
            self._connected = connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS)
        return self._connected


def configured_address(config: RedisOnlineStoreConfig, settings: Settings) -> str:
    """LARDER_REDIS, else the store's connection string; starts the embedded server where that is asked for."""
    if settings.redis == EMBEDDED and config.connection_string != EMBEDDED:
        return config.connection_string
    return online_address(settings)


def _table(plan: ViewPlan, data: Sequence[EntityRow]) -> pa.Table:
    """Feast's rows as the columns that `write_records` takes."""
    table = _keys_table(plan, [key for key, _, _, _ in data])
    for feature in plan.features:
        table = _with_column(table, feature, [_python(values.get(feature.name)) for _, values, _, _ in data])
    table = _with_column(table, Feature(EVENT_TIMESTAMP, "unix_timestamp"), [_utc(event) for _, _, event, _ in data])
    return _with_column(table, Feature(KNOWN_AT, "unix_timestamp"), [_utc(created) for _, _, _, created in data])


def _keys_table(plan: ViewPlan, keys: Sequence[EntityKey]) -> pa.Table:
    """Entity keys as columns; Feast names the parts of each key and orders them as it likes."""
    parts = [dict(zip(key.join_keys, key.entity_values, strict=True)) for key in keys]
    # A view without entities has no key column; the place keeps the number of rows.
    table = pa.table({DUMMY_ENTITY_ID: pa.nulls(len(keys))})
    for key in plan.join_keys:
        table = _with_column(table, key, [_python(part.get(key.name)) for part in parts])
    return table


def _with_column(table: pa.Table, feature: Feature, values: list[Any]) -> pa.Table:
    try:
        return table.append_column(feature.name, pa.array(values, arrow_type(feature.dtype)))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise InvalidDataError(
            f"{feature.name!r} does not fit {feature.dtype}: {problem}. Correct the value.", field=feature.name
        ) from problem


def _python(value: Value | None) -> Any:
    kind = None if value is None else value.WhichOneof("val")
    if value is None or kind is None:
        return None
    content = getattr(value, kind)
    if kind != "unix_timestamp_val":
        return content
    return None if content == NULL_TIMESTAMP_INT_VALUE else EPOCH + timedelta(seconds=content)


def _value(content: Any, dtype: str) -> Value:
    if content is None:
        return Value()
    if dtype == "unix_timestamp":
        content = (content - EPOCH) // timedelta(seconds=1)
    return Value(**{VALUE_FIELDS[dtype]: content})


def _utc(instant: datetime | None) -> datetime | None:
    """Feast's interface says that a naive instant is UTC."""
    if instant is None:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _is_too_old(plan: ViewPlan, event_timestamp: datetime, now: datetime) -> bool:
    return plan.ttl_seconds is not None and now - event_timestamp > timedelta(seconds=plan.ttl_seconds)
