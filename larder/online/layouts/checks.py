"""What is refused before anything is stored or read: views, services and entity rows that do not fit.

Entity rows are checked before Feast converts them: it would read 7.5 as entity 7.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from feast import Entity, FeatureService, FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.stream_feature_view import StreamFeatureView
from feast.utils import _get_cached_request_context
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.online.planning import view_plan
from larder.online.reading.request import wrong_type
from larder.views import is_stored

Columns = Mapping[str, Any]
"""Name -> one value per row: a sequence, or Feast's RepeatedValue."""


EntityRows = list[dict[str, Any]] | Columns
Features: TypeAlias = "list[str] | FeatureService"
GroupedRefs = Sequence[tuple[FeatureView, Sequence[str]]]
"""Stored views, each with the names of the features that are asked for."""

_WHOLE = re.compile(r"[+-]?\d{1,20}")
"""Text of an integer that may fit into 64 bits; Python refuses to read one of thousands of digits."""


def check_storable(view: FeatureView, entities: Sequence[Entity]) -> None:
    """Raise ConfigurationError, naming the field, for a view that cannot be stored."""
    view_plan(view, [entity for entity in entities if entity.name in view.entities])


def check_registry(registry: Registry) -> None:
    """Raise ConfigurationError for the first of its views and services that cannot be served."""
    entities = [Entity.from_proto(entity) for entity in registry.entities]
    for view in (
        *map(FeatureView.from_proto, registry.feature_views),
        *map(StreamFeatureView.from_proto, registry.stream_feature_views),
    ):
        check_storable(view, entities)
    for service in registry.feature_services:
        check_service(FeatureService.from_proto(service))


def check_service(service: FeatureService) -> None:
    """Raise ConfigurationError for a service that wants its values prepared."""
    if service.precompute_online:
        raise ConfigurationError(
            f"Feature service {service.name!r} has precompute_online=True, which larder.online.RedisOnlineStore does "
            "not use: it reads all views of a service in one round trip anyway. Take the option off and apply again."
        )


class Request(NamedTuple):
    """A request that can be answered."""

    columns: Columns
    """Its entity rows."""
    refs: GroupedRefs
    is_computed: bool
    """Whether on-demand views belong to it."""


def checked_request(
    features: Features, rows: EntityRows, registry: BaseRegistry, project: str, full_names: bool
) -> Request:
    """The entity rows of a request as columns, with keys of the types that Feast resolves for it.

    Raises ConfigurationError for a service, InvalidDataError for rows that cannot be answered.
    """
    if isinstance(features, FeatureService):
        check_service(features)
    columns = entity_columns(rows)
    (_, on_demand, _, types, _, refs, *_) = _get_cached_request_context(registry, project, features, full_names)
    if getattr(registry, "enable_online_versioning", False):
        restore_versions(refs, registry, project)
    check_keys(columns, types)
    check_singletons(on_demand, columns)
    if full_names:
        check_full_names(on_demand)
    return Request(columns, refs, bool(on_demand))


def restore_versions(refs: GroupedRefs, registry: BaseRegistry, project: str) -> None:
    """Number the views whose number was lost: Feast copies those of feature services and on-demand views without it."""
    for view, _ in refs:
        if view.current_version_number is None and view.projection.version_tag is None:
            registered = registry.get_any_feature_view(view.name, project, allow_cache=True)
            view.current_version_number = registered.current_version_number


def check_singletons(views: Sequence[OnDemandFeatureView], columns: Columns) -> None:
    """Raise InvalidDataError for a request of several rows to a view that Feast computes for the first row only."""
    names = [view.name for view in views if view.singleton]
    if not names:
        return
    rows = max(map(_length, columns.values()), default=0)
    if rows > 1:
        raise InvalidDataError(
            f"On-demand view {names[0]!r} has singleton=True, so Feast computes it for one row, but the request has "
            f"{rows}. Ask for them one by one, or write its function for lists and take singleton off."
        )


def check_full_names(views: Sequence[OnDemandFeatureView]) -> None:
    """Raise InvalidDataError for a view whose outputs Feast leaves out, without a word, where names are to be full."""
    names = [view.name for view in views if view.mode == "python" and not is_stored(view)]
    if names:
        raise InvalidDataError(
            f"On-demand view {names[0]!r} has mode python, whose features Feast leaves out of an answer with "
            "full_feature_names=True. Ask for them without it, or read the service with larder.online.FeatureReader."
        )


def entity_columns(rows: EntityRows) -> Columns:
    """Rows as columns; an empty row, or no column at all, asks for views without entities.

    Raises InvalidDataError for no rows, for rows whose names differ, for columns of unequal length, and for what is
    neither rows nor columns.
    """
    if isinstance(rows, Mapping):
        _check_columns(rows)
        return rows or {DUMMY_ENTITY_ID: [""]}
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidDataError(
            f"Entity rows are a {type(rows).__name__}, but must be a list of dicts, one per row, or a dict of lists, "
            "one per key. A pandas frame gives them with to_dict('records')."
        )
    if not rows:
        raise _no_rows()
    names = rows[0].keys()
    for row in rows:
        if row.keys() != names:
            raise InvalidDataError(
                f"Entity rows must name the same keys; one has {sorted(names)}, another {sorted(row)}. Make them equal."
            )
    if not names:
        return {DUMMY_ENTITY_ID: [""] * len(rows)}
    return {name: [row[name] for row in rows] for name in names}


def _check_columns(columns: Columns) -> None:
    for name, values in columns.items():
        if isinstance(values, str) or not isinstance(values, Sequence | RepeatedValue):
            raise InvalidDataError(
                f"Entity rows have {name!r} as a {type(values).__name__}. Give a list with one value per row.",
                field=name,
            )
    lengths = {name: _length(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidDataError(
            f"Entity rows have lists of unequal length: {lengths}. Give one value per row in each, null where there is "
            "none."
        )
    if 0 in lengths.values():
        raise _no_rows()


def _length(values: Any) -> int:
    return len(values.val if isinstance(values, RepeatedValue) else values)


def _no_rows() -> InvalidDataError:
    return InvalidDataError("The request has no entity rows. Give one row per answer that you want.")


def check_keys(columns: Columns, types: Mapping[str, ValueType]) -> None:
    """Raise InvalidDataError, naming the key, for a value that is not of its type and does not become so unchanged."""
    for name, values in columns.items():
        if types.get(name) in _CHECKS and isinstance(values, Sequence):
            is_fit, expected = _CHECKS[types[name]]
            for value in values:
                if not (isinstance(value, Value) or _is_null(value) or is_fit(value)):
                    raise wrong_type(name, expected, value)


def _is_null(value: Any) -> bool:
    return value is None or pd.isna(value) is True


def _is_integer_of(bits: int) -> Callable[[Any], bool]:
    bound = 1 << (bits - 1)

    def is_fit(value: Any) -> bool:
        """Integers, and floats and text that are one: a column of integers with a null is a column of floats."""
        if isinstance(value, str):
            is_whole = _WHOLE.fullmatch(value.strip()) is not None
        elif isinstance(value, float | np.floating):
            is_whole = value.is_integer()
        else:
            is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        return is_whole and -bound <= int(value) < bound

    return is_fit


def _is_text(value: Any) -> bool:
    """Text, and integers, whose text is the same everywhere."""
    if isinstance(value, str):
        return value.isascii() or value.encode(errors="ignore").decode() == value
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes)


_CHECKS: Mapping[ValueType, tuple[Callable[[Any], bool], str]] = {
    ValueType.INT64: (_is_integer_of(64), "an integer of 64 bits"),
    ValueType.INT32: (_is_integer_of(32), "an integer of 32 bits"),
    ValueType.STRING: (_is_text, "Unicode text"),
    ValueType.BYTES: (_is_bytes, "bytes"),
}
