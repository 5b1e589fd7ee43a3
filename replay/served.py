"""What serving would have answered with, for any number of requests at once, each at its own instant.

The proof that the whole system rests on says that Redis at an instant holds what the as-of join finds in history
for that instant. So a year of reads is one join per view; the rest is the reader's own code.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from feast import FeatureStore, FeatureView
from feast.repo_config import RepoConfig

from larder.contracts.clock import microseconds
from larder.contracts.plan import FeaturePlan, ViewPlan
from larder.offline.history import History, history_of
from larder.offline.retrieval.pins import pinned_for_retrieval
from larder.offline.tables.kinds import INSTANT
from larder.online.reading.compiled import Cell, CompiledPlan, FeatureRows, Status
from larder.verify.history_side import history_side_at
from replay.incidents import Incident, of_kind

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Requests:
    """Request rows and the instant at which each is asked, in order of time."""

    rows: list[dict[str, Any]]
    at: list[datetime]

    def between(self, start: datetime, end: datetime) -> "Requests":
        """Those asked in (start, end]."""
        first, last = bisect_right(self.at, start), bisect_right(self.at, end)
        return Requests(self.rows[first:last], self.at[first:last])

    def places(self, first: datetime, last: datetime) -> slice:
        """Where those lie that were asked from `first` to `last`, both included."""
        return slice(bisect_left(self.at, first), bisect_right(self.at, last))


def served_from_history(
    store: FeatureStore, plan: FeaturePlan, requests: Requests, incidents: Sequence[Incident] = ()
) -> FeatureRows:
    """One row per request, as `FeatureReader.read` gives it at the request's instant.

    Tables are read at the versions that pins say. Incidents that befall a view (`view_stops`, `skew`) change what
    it would have served.
    """
    compiled = CompiledPlan(plan)
    asked = compiled.asked(requests.rows)
    at = np.array([microseconds(instant) for instant in requests.at], dtype=np.int64)
    return compiled.rows(asked, [_cells(store, view, requests.rows, at, incidents) for view in plan.views])


def pinned_history(
    store: FeatureStore, view: str, of: Callable[[FeatureView, RepoConfig], History] = history_of
) -> History:
    """Where the values of a registered view lie, or its events (`events_of`), at the version that pins say."""
    definition = store.registry.get_any_feature_view(view, store.project)
    return pinned_for_retrieval(of(definition, store.config), store.config)


def _cells(
    store: FeatureStore,
    view: ViewPlan,
    rows: Sequence[Row],
    at: "np.ndarray[Any, np.dtype[np.int64]]",
    incidents: Sequence[Incident],
) -> list[Cell]:
    history = pinned_history(store, view.name)
    request_key = dict(zip((key.name for key in view.join_keys), view.request_keys, strict=True))
    keys = pa.table({name: pa.array([row[request_key[name]] for row in rows]) for name in history.keys})
    if not history.keys:
        keys = pa.table({"": [0] * len(rows)})
    seen_at = pa.array(_seen_at(view, at, incidents)).cast(INSTANT)
    side = history_side_at(history, keys, seen_at)
    offline = side.part(view, slice(0, len(rows)))
    return [
        _cell(view, stamp and stamp.event_timestamp, values, now)
        for stamp, values, now in zip(offline.stamps, offline.values, at.tolist(), strict=True)
    ]


def _cell(view: ViewPlan, event_timestamp: int | None, values: tuple[Any, ...], now: int) -> Cell:
    nulls = (None,) * len(view.features)
    if event_timestamp is None:
        return (Status.NOT_FOUND, None, nulls)
    if view.ttl_seconds is not None and now - event_timestamp > view.ttl_seconds * 1e6:
        return (Status.OUTSIDE_MAX_AGE, event_timestamp, nulls)
    return (Status.PRESENT, event_timestamp, values)


def _seen_at(
    view: ViewPlan, at: "np.ndarray[Any, np.dtype[np.int64]]", incidents: Sequence[Incident]
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The instants of which the view's values are served: earlier while it is not materialized, later with skew."""
    seen = at.copy()
    for incident in of_kind(incidents, "view_stops", "skew"):
        if incident.view == view.name:
            is_hit = (at >= microseconds(incident.start)) & (at < microseconds(incident.end))
            if incident.kind == "view_stops":
                seen[is_hit] = microseconds(incident.start)
            else:
                seen[is_hit] += timedelta(hours=incident.hours) // timedelta(microseconds=1)
    return seen
