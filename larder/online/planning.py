"""From Feast objects to plans. Beside the store itself the only module here that knows Feast."""

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import dill
import msgspec
from feast import Entity, FeatureStore, FeatureView, Field, OnDemandFeatureView, RepoConfig
from feast.base_feature_view import BaseFeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.feature_view_projection import FeatureViewProjection
from feast.types import Array, FeastType, PrimitiveFeastType, Set, Struct, from_value_type

from larder.contracts.errors import ConfigurationError
from larder.contracts.plan import Column, Feature, FeaturePlan, OnDemandPlan, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.packed.keys import check_key_types
from larder.online.packed.record import Layout
from larder.online.reading.on_demand import REQUEST
from larder.online.reading.request import request_parser
from larder.views import age_limit, by_name, feature_fields


def feature_plan(store: FeatureStore, service: str) -> FeaturePlan:
    """The service compiled for the reader; columns in the service's order.

    Raises ConfigurationError for what the reader cannot do, with the name of the view or field.
    """
    definition = store.get_feature_service(service)
    views: dict[str, ViewPlan] = {}
    on_demand: dict[str, OnDemandPlan] = {}
    request_fields: dict[str, Feature] = {}
    columns = []
    for projection in definition.feature_view_projections:
        view = _registered(store, projection)
        if isinstance(view, OnDemandFeatureView):
            on_demand[projection.name_to_use()] = _on_demand_plan(view, projection.name_to_use())
            request_fields |= _request_fields(view)
            sources = by_name(view.source_feature_view_projections)
        else:
            sources = [projection]
        for source in sources:
            stored = projected_plan(_stored_view(store, source, service), source, store.config)
            if views.setdefault(stored.reference, stored) != stored:
                raise ConfigurationError(
                    f"Feature service {service!r} uses view {stored.reference!r} with two different key mappings. "
                    "Give one of them a name with `with_name`."
                )
        columns += [Column(f.name, projection.name_to_use(), f.name, _dtype(f.dtype)) for f in projection.features]
    plan = FeaturePlan(
        project=store.project,
        service=service,
        views=tuple(views.values()),
        on_demand=tuple(on_demand.values()),
        request_fields=tuple(request_fields.values()),
        columns=tuple(columns),
    )
    _refuse_ambiguous_names(plan)
    request_parser(plan.request_fields)
    return plan


def view_plan(view: FeatureView, entities: Sequence[Entity] = ()) -> ViewPlan:
    """The view as it lies in the online store; keys in alphabetical order, as Feast stores them.

    `entities` tell the key types of a view that was not yet applied. Raises ConfigurationError, naming the
    field, for a type that the store cannot hold.
    """
    types = {entity.join_key: from_value_type(entity.value_type) for entity in entities}
    types |= {column.name: column.dtype for column in view.entity_columns}
    types.pop(DUMMY_ENTITY_ID, None)
    names, limit = sorted(types), age_limit(view)
    plan = ViewPlan(
        name=view.name,
        join_keys=tuple(Feature(name, _dtype(types[name])) for name in names),
        request_keys=tuple(names),
        features=_features(feature_fields(view)),
        ttl_seconds=None if limit is None else limit.total_seconds(),
    )
    check_key_types(plan)
    _refuse_names_of_instants(plan)
    Layout(plan)
    return plan


def stored_plan(view: FeatureView, config: RepoConfig) -> ViewPlan:
    """The plan of that version of the view which is in use; each version has records of its own.

    A version is part of the stored name, after an @, which no view's name holds. It is 0, and left out, unless the
    registry is told to keep online versions.
    """
    plan = view_plan(view)
    return msgspec.structs.replace(plan, name=versioned_name(plan.name, view_version(view, config)))


def versioned_name(name: str, version: int) -> str:
    return f"{name}@v{version}" if version else name


def view_version(view: FeatureView, config: RepoConfig) -> int:
    """The version asked for by a reference like visits@v2, else the current one."""
    if not config.registry.enable_online_feature_view_versioning:
        return 0
    asked = view.projection.version_tag
    return (view.current_version_number if asked is None else asked) or 0


def projected_plan(view: FeatureView, projection: FeatureViewProjection, config: RepoConfig) -> ViewPlan:
    """The view's plan as a request sees it: key names and the view's name as `projection` maps them."""
    plan = stored_plan(view, config)
    name = projection.name_to_use()
    return msgspec.structs.replace(
        plan,
        request_keys=tuple(projection.join_key_map.get(key.name, key.name) for key in plan.join_keys),
        alias=None if name == plan.name else name,
    )


def _refuse_names_of_instants(plan: ViewPlan) -> None:
    """A row on its way to Redis has its instants under these names."""
    for field in (*plan.join_keys, *plan.features):
        if field.name in (EVENT_TIMESTAMP, KNOWN_AT):
            raise ConfigurationError(
                f"Field {field.name!r} of view {plan.name!r} is called like one of the instants that the online store "
                f"keeps of each value, {EVENT_TIMESTAMP} and {KNOWN_AT}. Leave it out of the view's schema, or give it "
                "another name, by field_mapping of its source where the column has to keep its own."
            )


def _registered(store: FeatureStore, projection: FeatureViewProjection) -> BaseFeatureView:
    """The view in the version that the projection is pinned to, else the current one."""
    if projection.version_tag is None:
        return store.registry.get_any_feature_view(projection.name, store.project)
    return store.registry.get_feature_view_by_version(projection.name, store.project, projection.version_tag)


def _stored_view(store: FeatureStore, projection: FeatureViewProjection, service: str) -> FeatureView:
    view = _registered(store, projection)
    if isinstance(view, FeatureView):
        return view
    raise ConfigurationError(
        f"Feature service {service!r} reads {projection.name!r}, a {type(view).__name__}, from an on-demand view or "
        "the online store, which hold feature views only. Take it out of the service."
    )


def _on_demand_plan(view: OnDemandFeatureView, name: str) -> OnDemandPlan:
    if view.mode != "python" or view.singleton or view.aggregations:
        raise ConfigurationError(
            f"On-demand view {view.name!r} has mode {view.mode!r}{' with singleton' if view.singleton else ''}"
            f"{' with aggregations' if view.aggregations else ''}; the reader runs mode='python' on lists. "
            "Write its function as dict of lists -> dict of lists."
        )
    inputs = [(REQUEST, field.name) for source in by_name(view.source_request_sources) for field in source.schema]
    for projection in by_name(view.source_feature_view_projections):
        inputs += [(projection.name_to_use(), field.name) for field in projection.features]
    return OnDemandPlan(name=name, function=_payload(view), inputs=tuple(inputs), outputs=_features(view.features))


def _payload(view: OnDemandFeatureView) -> bytes:
    """The function with everything that it refers to, so that it runs where its file is not."""
    function = view.feature_transformation.udf
    # dill writes a function of an importable module as a mere reference to it.
    function.__module__ = "__main__"
    return bytes(dill.dumps(function, byref=False, recurse=True))


def _request_fields(view: OnDemandFeatureView) -> dict[str, Feature]:
    fields = [field for source in by_name(view.source_request_sources) for field in source.schema]
    return {feature.name: feature for feature in _features(fields)}


def _refuse_ambiguous_names(plan: FeaturePlan) -> None:
    """One name, one meaning: Feast resolves such clashes silently, and not the same way everywhere."""
    places = [(column.name, f"view {column.view}") for column in plan.columns]
    places += [(field.name, "the request data") for field in plan.request_fields]
    places += [(key.name, "the entity keys") for key in plan.entity_keys]
    counts = Counter(name for name, _ in places)
    for name, place in places:
        if counts[name] > 1:
            others = [other for found, other in places if found == name and other != place] or [place]
            raise ConfigurationError(
                f"Feature service {plan.service!r} has the name {name!r} in {place} and in {others[0]}. Rename one."
            )


def _features(fields: Iterable[Field]) -> tuple[Feature, ...]:
    return tuple(Feature(field.name, _dtype(field.dtype)) for field in fields)


def _dtype(dtype: FeastType) -> str:
    """The name of a type in a plan, which outlives Feast's own spelling of it."""
    if isinstance(dtype, Array):
        return f"array<{_dtype(dtype.base_type)}>"
    if isinstance(dtype, Set):
        return f"set<{_dtype(dtype.base_type)}>"
    if isinstance(dtype, Struct):
        parts = [f"{quote(name, safe='')}:{_dtype(part)}" for name, part in dtype.fields.items()]
        return f"struct<{','.join(parts)}>"
    return dtype.name.lower() if isinstance(dtype, PrimitiveFeastType) else str(dtype)
