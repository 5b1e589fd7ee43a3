"""The slow way: Redis itself moved through time, one instant after the other, and read by the reader that serves."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import redis
from feast import FeatureStore

from larder.contracts.clock import EPOCH
from larder.contracts.plan import FeaturePlan, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import history_of
from larder.offline.retrieval.reading import read_history
from larder.online.reading.compiled import FeatureRows
from larder.online.reading.reader import FeatureReader
from larder.online.writing.writer import write_records
from replay.served import Requests


class Arriving:
    """The rows of one view in the order in which they became visible."""

    def __init__(self, store: FeatureStore, view: ViewPlan, until: datetime) -> None:
        definition = store.registry.get_any_feature_view(view.name, store.project)
        history = history_of(definition, store.config)
        rows = read_history(history, until=until)
        event = rows[history.event_timestamp].cast(pa.int64()).to_numpy()
        known = rows[history.known_at].cast(pa.int64()).to_numpy() if history.known_at else event
        visible = np.maximum(event, known) if history.cutoff else event
        order = np.argsort(visible, kind="stable")
        names = [*history.keys, *history.features]
        stamps = {
            EVENT_TIMESTAMP: rows[history.event_timestamp],
            KNOWN_AT: pa.array(known).cast(pa.timestamp("us", "UTC")),
        }
        table = pa.table({name: rows[name] for name in names} | stamps)
        self.view, self.rows, self._visible = view, table.take(pa.array(order)), visible[order]

    def between(self, start: int, end: int) -> pa.Table:
        """Rows that became visible in (start, end], microseconds since 1970."""
        first, last = np.searchsorted(self._visible, [start, end], side="right")
        return self.rows.slice(int(first), int(last - first))


def served_step_by_step(store: FeatureStore, plan: FeaturePlan, client: redis.Redis, requests: Requests) -> FeatureRows:
    """Features of `requests`, which are in order of time, each group read when Redis holds what was known by then."""
    arriving = [Arriving(store, view, requests.at[-1]) for view in plan.views]
    found, reached, start = FeatureRows([], []), np.iinfo(np.int64).min, 0
    while start < len(requests.at):
        now = requests.at[start]
        end = _end_of(requests.at, start)
        instant = (now - EPOCH) // timedelta(microseconds=1)
        for view in arriving:
            rows = view.between(reached, instant)
            if rows.num_rows:
                write_records(client, view.view, plan.project, rows)
        reached = instant
        read = FeatureReader(plan, client, lambda now=now: now).read(requests.rows[start:end])
        found.values.extend(read.values)
        found.statuses.extend(read.statuses)
        start = end
    return found


def _end_of(at: Sequence[datetime], start: int) -> int:
    end = start
    while end < len(at) and at[end] == at[start]:
        end += 1
    return end
