"""The views of one Feast request, compiled: from its join keys to Redis keys, from records to what each row finds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from larder.contracts.errors import MissingKeyError
from larder.contracts.plan import ViewPlan
from larder.online.feast_values import python_of
from larder.online.packed.keys import entity_encoder, view_prefix
from larder.online.packed.record import EPOCH, Layout
from larder.online.reader import Status

NO_VALUE = Value()
Entity = bytes
JoinKeys = Mapping[str, Sequence[Value]]
"""Name in the request -> one value per row."""


class Found(NamedTuple):
    """What one entity has in one view; `event_timestamp` in microseconds since 1970, UTC."""

    status: Status
    event_timestamp: int | None
    values: tuple[Any, ...] | None
    """All features of the view; None unless the status is PRESENT."""


NOT_FOUND = Found(Status.NOT_FOUND, None, None)


class ViewLookup:
    """One view of a request; `names` are the features that it asks for, in order."""

    def __init__(self, project: str, plan: ViewPlan, view: FeatureView, names: Sequence[str]) -> None:
        self.view = view
        self.names = list(names)
        self.plan = plan
        places = {feature.name: place for place, feature in enumerate(plan.features)}
        self.places = [places[name] for name in names]
        self.prefix = view_prefix(project, plan.name)
        self.encode = entity_encoder(plan)
        self._decode = Layout(plan).decode
        self._ttl = math.inf if plan.ttl_seconds is None else plan.ttl_seconds * 1e6

    def found(self, record: bytes | None, now: int) -> Found:
        """`now` in microseconds since 1970."""
        if record is None:
            return NOT_FOUND
        event_timestamp, _, values = self._decode(record)
        if now - event_timestamp > self._ttl:
            return Found(Status.OUTSIDE_MAX_AGE, event_timestamp, None)
        return Found(Status.PRESENT, event_timestamp, values)


@dataclass(frozen=True)
class Request:
    """The keys of one request; an entity that several rows or views name is encoded once and fetched once per view."""

    keys: list[bytes]
    entities: list[list[Entity]]
    """Per view the entity of each row."""


def request_of(views: Sequence[ViewLookup], join_keys: JoinKeys) -> Request:
    """The Redis keys that hold `views` for the rows of `join_keys`; a null key finds nothing.

    Raises MissingKeyError or InvalidDataError, naming the key.
    """
    encoded: dict[tuple[Any, ...], list[Entity]] = {}
    for view in views:
        if _shape(view) not in encoded:
            encoded[_shape(view)] = _entities(view, join_keys)
    entities = [encoded[_shape(view)] for view in views]
    keys = [view.prefix + entity for view, rows in zip(views, entities, strict=True) for entity in dict.fromkeys(rows)]
    return Request(keys, entities)


def joined_columns(plan: ViewPlan, keys: Sequence[EntityKey]) -> JoinKeys:
    """Entity keys as columns; Feast names the parts of each key and orders them as it likes."""
    parts = [dict(zip(key.join_keys, key.entity_values, strict=True)) for key in keys]
    # A view without entities has no column; one of nulls keeps the number of rows.
    names = plan.request_keys or (DUMMY_ENTITY_ID,)
    return {name: [part.get(name, NO_VALUE) for part in parts] for name in names}


def rows_found(
    views: Sequence[ViewLookup], request: Request, records: Sequence[bytes | None], now: datetime
) -> list[list[Found]]:
    """Per view what each row finds in the `records` of the request's keys.

    Raises SchemaMismatchError or OnlineStoreError for a record that cannot be read.
    """
    instant = (now - EPOCH) // timedelta(microseconds=1)
    remaining = iter(records)
    columns = []
    for view, rows in zip(views, request.entities, strict=True):
        found = {entity: view.found(next(remaining), instant) for entity in dict.fromkeys(rows)}
        columns.append([found[entity] for entity in rows])
    return columns


def _shape(view: ViewLookup) -> tuple[Any, ...]:
    return view.plan.request_keys, tuple(key.dtype for key in view.plan.join_keys)


def _entities(view: ViewLookup, join_keys: JoinKeys) -> list[Entity]:
    names = view.plan.request_keys
    missing = [name for name in names if name not in join_keys]
    if missing:
        found = sorted(set(join_keys) - {DUMMY_ENTITY_ID})
        raise MissingKeyError(
            f"The request lacks the join key {missing[0]!r} of view {view.plan.name!r}; it has {found}. "
            "Add it to each entity row.",
            field=missing[0],
        )
    if not names:
        return [view.encode({})] * max(map(len, join_keys.values()), default=0)
    columns = [[python_of(value) for value in join_keys[name]] for name in names]
    return [view.encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
