"""From the hashes of Feast's Redis store to packed records.

Feast keeps a hash per entity: its key is the serialized entity key followed by the project, without anything between
them; its fields are four bytes of a hash of view and feature, and `_ts:<view>` with the event timestamp. It keeps no
created timestamp, so a migrated value is known from its event timestamp on.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from feast import FeatureStore, FeatureView, RepoConfig
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key, serialize_entity_key_prefix
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from larder.online.feast_values import EntityRow, rows_table
from larder.online.planning import stored_plan
from larder.online.server.connection import redis_failures
from larder.online.writing.writer import FUTURE_TOLERANCE, write_records
from larder.views import stored_on_demand_views, stored_views

KEYS_PER_BATCH = 1_000

# A row that Feast's store wrote meanwhile is not the one that was migrated. One key per call: the keys of Feast's
# layout have no hash tag, so that a Cluster spreads them.
DELETE_UNCHANGED = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1], unpack(ARGV, 3))
return 1
"""


@dataclass(frozen=True)
class FeastView:
    """A view as Feast's layout has it."""

    view: FeatureView
    timestamp: bytes
    """Field of the event timestamp."""
    features: dict[str, bytes]
    """Feature -> field."""
    keys: list[bytes]
    """Fields of the join keys, which Feast's registry has among the features of stream views."""


@dataclass(frozen=True)
class FeastRow:
    """One entity's values of one view."""

    key: bytes
    stamp: bytes
    """The event timestamp as Redis holds it."""
    entity_row: EntityRow


@dataclass(frozen=True)
class Batch:
    """Rows of one view that now are packed records, or were there already."""

    view: FeastView
    rows: list[FeastRow]
    written: int
    kept: int
    """Not written because Redis holds a later record."""
    refused_future: int
    """Dated later than now; left where they are, and not among `rows`."""


def migrated(store: FeatureStore, source: redis.Redis, target: redis.Redis, *, now: datetime) -> Iterator[Batch]:
    """Write what `source` holds of the project in Feast's layout to `target`, batch by batch.

    Compare-and-set, so it may be interrupted, repeated and run beside other writers. Reads all keys of the server,
    changes none of them. Raises InvalidDataError for a value that does not fit its view.
    """
    views = [view for view in stored_views(store) if view.online]
    joined: dict[tuple[str, ...], list[FeastView]] = {}
    for view in (*views, *stored_on_demand_views(store)):
        names = tuple(key.name for key in stored_plan(view, store.config).join_keys)
        # Materialized rows of a view without entities have Feast's dummy for a key, pushed ones have none.
        for join_keys in [names] if names else [(), (DUMMY_ENTITY_ID,)]:
            joined.setdefault(join_keys, []).append(feast_view(view, store.config))
    for join_keys, found in joined.items():
        for keys in _batches(_keys(source, store.project, join_keys)):
            for view, rows in _read(source, found, keys).items():
                yield _written(target, store.config, found[view], rows, now)


def delete_migrated(source: redis.Redis, batch: Batch) -> int:
    """Delete the rows of `batch` from Feast's layout, those apart that changed since they were read; how many."""
    fields = [batch.view.timestamp, *batch.view.features.values(), *batch.view.keys]
    with redis_failures(source), source.pipeline(transaction=False) as pipeline:
        for row in batch.rows:
            # A Cluster's pipeline has no `eval`, but sends it.
            pipeline.execute_command("EVAL", DELETE_UNCHANGED, 1, row.key, fields[0], row.stamp, *fields[1:])
        return sum(pipeline.execute())


def feast_view(view: FeatureView, config: RepoConfig) -> FeastView:
    name = compute_versioned_name(view, config.registry.enable_online_feature_view_versioning)
    plan = stored_plan(view, config)
    features = {feature.name: _mmh3(f"{name}:{feature.name}") for feature in plan.features}
    return FeastView(view, f"_ts:{name}".encode(), features, [_mmh3(f"{name}:{key.name}") for key in plan.join_keys])


def entity_of(key: bytes, project: str, join_keys: Sequence[str]) -> EntityKey | None:
    """The entity of a hash of `project` with these sorted join keys; None for any other key of the server.

    The hashes of project `ab` end in `b` as well: only what decodes completely is ours.
    """
    suffix = project.encode()
    entity = key[: len(key) - len(suffix)]
    try:
        decoded: EntityKey = deserialize_entity_key(entity)
    except (ValueError, struct.error):
        return None
    is_whole = len(decoded.entity_values) == len(decoded.join_keys) and entity + suffix == key
    is_ours = tuple(decoded.join_keys) == tuple(join_keys)
    return decoded if is_whole and is_ours and serialize_entity_key(decoded) == entity else None


def _keys(source: redis.Redis, project: str, join_keys: Sequence[str]) -> Iterator[tuple[bytes, EntityKey]]:
    pattern = _literal(serialize_entity_key_prefix(list(join_keys))) + b"*" + _literal(project.encode())
    with redis_failures(source):
        for key in source.scan_iter(match=pattern, count=KEYS_PER_BATCH):
            entity = entity_of(key, project, join_keys)
            if entity is not None:
                yield key, entity


def _literal(text: bytes) -> bytes:
    """`text` in a pattern of SCAN."""
    return re.sub(rb"([*?\[\]\\])", rb"\\\1", text)


def _batches(keys: Iterable[tuple[bytes, EntityKey]]) -> Iterator[dict[bytes, EntityKey]]:
    batch: dict[bytes, EntityKey] = {}
    for key, entity in keys:
        batch[key] = entity
        if len(batch) == KEYS_PER_BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def _read(source: redis.Redis, views: Sequence[FeastView], keys: dict[bytes, EntityKey]) -> dict[int, list[FeastRow]]:
    """By place of the view the rows that it has under `keys`; one round trip."""
    fields = [field for view in views for field in (view.timestamp, *view.features.values())]
    with redis_failures(source), source.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hmget(key, fields)
        answers = pipeline.execute()
    rows: dict[int, list[FeastRow]] = {}
    for (key, entity), answer in zip(keys.items(), answers, strict=True):
        stored = iter(answer)
        for place, view in enumerate(views):
            stamp = next(stored)
            values = {name: Value.FromString(next(stored) or b"") for name in view.features}
            if stamp is not None:
                instant = Timestamp.FromString(stamp).ToDatetime(tzinfo=UTC)
                rows.setdefault(place, []).append(FeastRow(key, stamp, (entity, values, instant, None)))
    return rows


def _written(target: redis.Redis, config: RepoConfig, view: FeastView, rows: list[FeastRow], now: datetime) -> Batch:
    dated = [row for row in rows if row.entity_row[2] <= now + FUTURE_TOLERANCE]
    plan = stored_plan(view.view, config)
    counts = write_records(target, plan, config.project, rows_table(plan, [row.entity_row for row in dated]))
    return Batch(view, dated, counts.written, counts.kept, len(rows) - len(dated))


def totals(batch: Batch, deleted: int) -> Counter[str]:
    """The batch in numbers, to be added up."""
    return Counter(written=batch.written, kept=batch.kept, future=batch.refused_future, deleted=deleted)
