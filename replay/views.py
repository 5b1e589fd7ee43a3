"""How fresh each view was at any instant of a replay, as monitors ask it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from feast import FeatureStore

from larder.contracts.clock import EPOCH, microseconds
from larder.contracts.plan import FeaturePlan
from larder.offline.history import events_of
from larder.offline.retrieval.reading import StoredRows
from monitoring.monitors.freshness import ViewState
from replay.incidents import Incident, of_kind
from replay.served import pinned_history

Instants = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ViewTimes:
    """Per view the distinct instants at which an event became visible, rising; microseconds since 1970."""

    instants: dict[str, Instants]
    incidents: Sequence[Incident]

    def states(self, now: datetime) -> list[ViewState]:
        return [
            ViewState(view, newest_event_at=_latest(instants, now), online_until=self._online_until(view, now))
            for view, instants in self.instants.items()
        ]

    def _online_until(self, view: str, now: datetime) -> datetime:
        """Materialization is on time in a replay, except while an incident stops it."""
        stopped = [
            item.start for item in of_kind(self.incidents, "view_stops") if item.view == view and item.is_under_way(now)
        ]
        return min([now, *stopped])


def view_times(store: FeatureStore, plan: FeaturePlan, incidents: Sequence[Incident]) -> ViewTimes:
    """Reads the times of each view's events, at the versions that pins say."""
    return ViewTimes({view.name: _visible(store, view.name) for view in plan.views}, incidents)


def _visible(store: FeatureStore, view: str) -> Instants:
    events = pinned_history(store, view, events_of)
    found: list[Instants] = [np.empty(0, dtype=np.int64)]
    for batch in StoredRows(events, ()).batches():
        times = [batch[name].cast(pa.int64()).to_numpy() for name in events.times]
        found.append(np.unique(np.maximum.reduce(times)))
    return np.unique(np.concatenate(found))


def _latest(instants: Instants, now: datetime) -> datetime | None:
    place = int(np.searchsorted(instants, microseconds(now), side="right"))
    return EPOCH + timedelta(microseconds=int(instants[place - 1])) if place else None
