"""Feast's response around values that Python already has: its protobuf is made only for those who ask for it.

For 50 floats of 100 entities the protobuf, and the way back from it to Python, take ten times as long as all the rest.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from feast.utils import _prepare_entities_to_read_from_online_store
from feast.value_type import ValueType

from larder.contracts.plan import Feature
from larder.online.feast_values import SAME_IN_FEAST, values_of
from larder.online.layouts.answer import append_views, count_statuses
from larder.online.layouts.checks import Features, Request
from larder.online.layouts.lookup import JoinKeys, Lookup, ViewLookup
from larder.online.reading.compiled import Asked


class Found(NamedTuple):
    """What Redis had at an instant for the rows of a request."""

    lookup: Lookup
    asked: Asked
    records: Sequence[bytes | None]
    now: datetime


class _Column(NamedTuple):
    """The values of one feature: Python's, or Feast's where Feast gives others back than it was given."""

    name: str
    same: list[Any]
    said: list[Value]

    @classmethod
    def of(cls, name: str, view: ViewLookup, feature: Feature, values: list[Any]) -> "_Column":
        if feature.dtype in SAME_IN_FEAST:
            return cls(name, values, [])
        return cls(name, [], values_of(view.plan.reference, feature, values))

    def values(self, types: Mapping[str, ValueType]) -> list[Any]:
        """A list of its own for each caller."""
        return [*self.same, *(feast_value_type_to_python_type(value, types.get(self.name)) for value in self.said)]


class StoredResponse(OnlineResponse):
    """The response to a request for stored features, none of which an on-demand view computes."""

    def __init__(self, entities: GetOnlineFeaturesResponse, found: Found, *, is_full: bool) -> None:
        """`entities`: the response with the join keys alone; `is_full`: features are named with their view.

        Raises SchemaMismatchError or OnlineStoreError for a record that cannot be read, InvalidDataError for a value
        that Feast cannot say.
        """
        self._entities = OnlineResponse(entities).proto  # which drops the key of Feast's own for views without entities
        self._found, self._is_full = found, is_full
        self._feature_types = found.lookup.feature_types
        rows = found.lookup.rows(found.asked, found.records, found.now)
        columns = map(list, zip(*rows.values, strict=True))
        self._columns: list[_Column] = []
        for view in found.lookup.views:
            if view.names:
                count_statuses(view, [statuses[len(self._columns)] for statuses in rows.statuses])
            for name, feature in zip(view.shown_names(is_full=is_full), view.features, strict=True):
                self._columns.append(_Column.of(name, view, feature, next(columns)))

    @cached_property
    def proto(self) -> GetOnlineFeaturesResponse:
        """All there is to know, statuses and event timestamps included."""
        lookup, asked, records, now = self._found
        response = GetOnlineFeaturesResponse()
        response.CopyFrom(self._entities)
        append_views(response, lookup.views, lookup.found(asked, records, now), is_full=self._is_full)
        return response

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """As Feast's; of a response that was looked at, or changed, through `proto`, as it is there."""
        if include_event_timestamps or "proto" in vars(self):
            answer: dict[str, Any] = super().to_dict(include_event_timestamps)
            return answer
        keys: dict[str, Any] = OnlineResponse(self._entities).to_dict()
        return keys | {column.name: column.values(self._feature_types) for column in self._columns}


def entities_of(
    request: Request, features: Features, registry: BaseRegistry, project: str, *, is_full: bool
) -> tuple[GetOnlineFeaturesResponse, JoinKeys]:
    """The response to a request as Feast begins it, with the join keys; and these as columns."""
    join_keys, *_, response = _prepare_entities_to_read_from_online_store(
        registry, project, features, request.columns, is_full
    )
    return response, join_keys
