"""Small tables and plans for the tests of the online store."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from larder.contracts.plan import Column, Feature, FeaturePlan, ViewPlan
from larder.online.packed.packing import INSTANT

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """The instant so many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def view(name: str = "visits", keys: str = "user:string", features: str = "score:float64", **options: Any) -> ViewPlan:
    """A view plan from words like "user:string shop:int64"."""
    join_keys = tuple(_features(keys))
    options.setdefault("ttl_seconds", None)
    options.setdefault("request_keys", tuple(key.name for key in join_keys))
    return ViewPlan(name=name, join_keys=join_keys, features=tuple(_features(features)), **options)


def plan(*views: ViewPlan, project: str = "shop", **options: Any) -> FeaturePlan:
    """A feature plan with all features of the views as columns."""
    options.setdefault("on_demand", ())
    options.setdefault("request_fields", ())
    options.setdefault(
        "columns", tuple(Column(f.name, v.reference, f.name, f.dtype) for v in views for f in v.features)
    )
    return FeaturePlan(project=project, service="offers", views=views, **options)


def visits(*rows: tuple[Any, float, float, Any]) -> pa.Table:
    """Rows of `view()`: user, event timestamp and known at in minutes after noon, score."""
    users, events, known, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "user": pa.array(users, pa.string()),
            "score": pa.array(scores, pa.float64()),
            "event_timestamp": pa.array([at(minutes) for minutes in events], INSTANT),
            "known_at": pa.array([at(minutes) for minutes in known], INSTANT),
        }
    )


def _features(words: str) -> Iterable[Feature]:
    return (Feature(*word.split(":", 1)) for word in words.split())
