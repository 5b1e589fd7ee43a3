"""The columns of a feature service three ways, over the same label rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from larder.contracts.errors import ConfigurationError
from larder.contracts.plan import FeaturePlan, OnDemandPlan, ViewPlan
from larder.leakage.views import AT, ViewJoins, gold_reaches, view_joins
from larder.offline.retrieval.on_demand import on_demand_features
from larder.offline.types import declared
from larder.online.reading.on_demand import REQUEST
from larder.views import feature_fields

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


@dataclass(frozen=True)
class ServiceColumns:
    """The model inputs of a service; all tables have one row per request, in its order."""

    event_time: pa.Table
    training: pa.Table
    """What the offline store gives for a training set."""
    known_time: pa.Table
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Of each input that cannot be judged: why."""


def service_columns(
    store: "FeatureStore", plan: FeaturePlan, requests: pa.Table, *, at: str, known: Mapping[str, str]
) -> ServiceColumns:
    """`requests` has the plan's entity keys, its request fields and the instant `at`.

    `known` names, by source, the column with the instant from which a row could be read. Raises ConfigurationError
    for a source that the service does not read, and what reading a view's history raises.
    """
    views = {view.reference: _stored_view(store, view) for view in plan.views}
    _check_sources(plan, views, known)
    joins = {
        view.reference: view_joins(views[view.reference], store.config, _asked(view, requests, at), known)
        for view in plan.views
    }
    job = store.get_historical_features(
        entity_df=_request_columns(plan, requests, at), features=store.get_feature_service(plan.service)
    )
    training = job.to_arrow()
    return ServiceColumns(
        event_time=_columns(store, plan, requests, views, {name: join.event_time for name, join in joins.items()}),
        training=training.select([column.name for column in plan.columns]),
        known_time=_columns(store, plan, requests, views, {name: join.known_time for name, join in joins.items()}),
        unknown=_unknown(plan, joins),
    )


def gold_until(store: "FeatureStore", plan: FeaturePlan) -> datetime | None:
    """The last instant that all windowed views of the plan answer for; None where there is no such view."""
    reached = [gold_reaches(_stored_view(store, view), store.config) for view in plan.views]
    return min((instant for instant in reached if instant is not None), default=None)


def _stored_view(store: "FeatureStore", view: ViewPlan) -> "FeatureView":
    return store.registry.get_any_feature_view(view.name, store.project)


def _check_sources(plan: FeaturePlan, views: Mapping[str, "FeatureView"], known: Mapping[str, str]) -> None:
    sources = {view.batch_source.name for view in views.values() if view.batch_source}
    strange = sorted(set(known) - sources)
    if strange:
        raise ConfigurationError(
            f"Feature service {plan.service!r} reads no source called {strange}; it reads {sorted(sources)}. "
            "Correct --known."
        )


def _asked(view: ViewPlan, requests: pa.Table, at: str) -> pa.Table:
    names = [key.name for key in view.join_keys]
    return pa.table([*(requests[key] for key in view.request_keys), requests[at]], [*names, AT])


def _request_columns(plan: FeaturePlan, requests: pa.Table, at: str) -> pa.Table:
    names = [*(item.name for item in plan.request), at]
    return requests.select([*dict.fromkeys(names)])


def _columns(
    store: "FeatureStore",
    plan: FeaturePlan,
    requests: pa.Table,
    views: Mapping[str, "FeatureView"],
    joined: Mapping[str, pa.Table],
) -> pa.Table:
    """The plan's columns, on-demand ones computed from the joined ones."""
    stored = {
        f"{name}:{item.name}": declared(rows[item.name], item, where=name)
        for name, rows in joined.items()
        for item in feature_fields(views[name])
    }
    on_demand = [store.get_on_demand_feature_view(view.name) for view in plan.on_demand]
    stored |= on_demand_features(requests, stored, on_demand)
    return pa.table({column.name: stored[f"{column.view}:{column.feature}"] for column in plan.columns})


def _unknown(plan: FeaturePlan, joins: Mapping[str, ViewJoins]) -> dict[str, str]:
    on_demand = {view.name: view for view in plan.on_demand}
    reasons = {}
    for column in plan.columns:
        if column.view in on_demand:
            reasons[column.name] = _unknown_inputs(on_demand[column.view], joins)
        else:
            reasons[column.name] = joins[column.view].unknown
    return {name: reason for name, reason in reasons.items() if reason}


def _unknown_inputs(view: OnDemandPlan, joins: Mapping[str, ViewJoins]) -> str:
    names = sorted({name for name, _ in view.inputs if name != REQUEST and joins[name].unknown})
    return f"computed from {', '.join(names)}: {joins[names[0]].unknown}" if names else ""
