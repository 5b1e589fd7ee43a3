"""Feast's response around values that Python already has: its protobuf is made only for those who ask for it.

For 50 floats of 100 entities the protobuf, and the way back from it to Python, take ten times as long as all the rest.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.utils import _prepare_entities_to_read_from_online_store

from larder.online.compiled import Asked
from larder.online.layouts.answer import append_views, count_statuses
from larder.online.layouts.checks import Features, Request
from larder.online.layouts.lookup import JoinKeys, Lookup


class Found(NamedTuple):
    """What Redis had at an instant for the rows of a request."""

    lookup: Lookup
    asked: Asked
    records: Sequence[bytes | None]
    now: datetime


class PlainResponse(OnlineResponse):
    """The response to a request whose lookup `is_plain`; on-demand views are none of it."""

    def __init__(self, entities: GetOnlineFeaturesResponse, found: Found, *, is_full: bool) -> None:
        """`entities`: the response with the join keys alone; `is_full`: features are named with their view.

        Raises SchemaMismatchError or OnlineStoreError for a record that cannot be read.
        """
        self._entities = OnlineResponse(entities).proto  # which drops the key of Feast's own for views without entities
        self._found, self._is_full = found, is_full
        self._feature_types = found.lookup.feature_types
        rows = found.lookup.rows(found.asked, found.records, found.now)
        self._rows, self._names = rows.values, list[str]()
        for view in found.lookup.views:
            if view.names:
                count_statuses(view, [statuses[len(self._names)] for statuses in rows.statuses])
            self._names += view.shown_names(is_full=is_full)

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
        columns = map(list, zip(*self._rows, strict=True))
        keys: dict[str, Any] = OnlineResponse(self._entities).to_dict()
        return keys | dict(zip(self._names, columns, strict=True))


def entities_of(
    request: Request, features: Features, registry: BaseRegistry, project: str, *, is_full: bool
) -> tuple[GetOnlineFeaturesResponse, JoinKeys]:
    """The response to a request as Feast begins it, with the join keys; and these as columns."""
    join_keys, *_, response = _prepare_entities_to_read_from_online_store(
        registry, project, features, request.columns, is_full
    )
    return response, join_keys
