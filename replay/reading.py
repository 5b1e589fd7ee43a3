"""What each day of a stretch reads, computed for many days at once and kept for the next policy."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import msgspec
import pyarrow as pa
from feast import FeatureStore

from larder.contracts.clock import EPOCH
from larder.contracts.objective import Objective
from larder.contracts.plan import FeaturePlan, encoded
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.retrieval.conditions import Between, fulfilling
from larder.online.reading.compiled import FeatureRows, Status
from larder.whole_file import write_whole
from replay.day import Known
from replay.history import Retrieval, as_requests, retrieval
from replay.incidents import Incident
from replay.lake import Stretch
from replay.served import Requests, served_from_history
from replay.views import ViewTimes, view_times
from training.data.labels import LabelSelection
from training.data.training_set import TrainingSet, feast_retrieval, joined

CHUNK = timedelta(days=14)


@dataclass(frozen=True)
class StretchReading:
    """The tables of one stretch, read once. Use inside `table_versions(stretch.versions)`."""

    settings: Settings
    objective: Objective
    store: FeatureStore
    service: str
    plan: FeaturePlan
    stretch: Stretch
    requests: pa.Table
    """All requests up to the stretch's end (`all_requests`)."""
    incidents: Sequence[Incident]
    kept: Path
    """Folder in which served features are kept; those of another stretch or plan have other names."""
    _chunks: dict[tuple[str, int], tuple[Requests, FeatureRows]] = field(default_factory=dict)

    def known(self) -> Known:
        return Known(self.served, self.recompute, self.training_data, self.views.states)

    def served(self, plan: FeaturePlan, requests: Requests) -> FeatureRows:
        """Features of requests that lie in (an instant, another]; they are rows of the chunks in which they lie."""
        found = FeatureRows([], [])
        if not requests.at:
            return found
        for number in range(_chunk_of(requests.at[0]), _chunk_of(requests.at[-1]) + 1):
            asked, features = self._chunk(plan, number)
            places = asked.places(requests.at[0], requests.at[-1])
            found.values.extend(features.values[places])
            found.statuses.extend(features.statuses[places])
        return found

    def recompute(self, requests: pa.Table) -> pa.Table:
        return self._retrieval.rows(requests).features

    def training_data(self, selection: LabelSelection) -> TrainingSet:
        return joined(self.store, self.settings, selection, service=self.service, retrieve=self._retrieval.rows)

    @cached_property
    def views(self) -> ViewTimes:
        return view_times(self.store, self.plan, self.incidents)

    @cached_property
    def _retrieval(self) -> Retrieval:
        return retrieval(feast_retrieval(self.store, self.service), self.requests)

    def _chunk(self, plan: FeaturePlan, number: int) -> tuple[Requests, FeatureRows]:
        name = hashlib.sha256(encoded(plan)).hexdigest()[:16]
        if (name, number) not in self._chunks:
            self._chunks.clear()  # days go forward: what is over is not asked for again
            start = EPOCH + number * CHUNK
            end = start + CHUNK - timedelta(microseconds=1)
            requests = as_requests(fulfilling(self.requests, [Between(EVENT_TIMESTAMP, start, end)]))
            stretch = f"{self.stretch.end:%Y%m%dT%H%M%S}"
            path = self.kept / f"{name}-{stretch}-{number}.msgpack"
            features = _stored(path)
            if features is None:
                features = served_from_history(self.store, plan, requests, self.incidents)
                _store(path, features)
            self._chunks[name, number] = (requests, features)
        return self._chunks[name, number]


def _chunk_of(at: datetime) -> int:
    return (at - EPOCH) // CHUNK


def _stored(path: Path) -> FeatureRows | None:
    if not path.is_file():
        return None
    values, statuses, kinds = msgspec.msgpack.decode(path.read_bytes())
    known = [tuple(Status(status) for status in kind) for kind in kinds]
    return FeatureRows(values, [known[number] for number in statuses])


def _store(path: Path, features: FeatureRows) -> None:
    kinds = list(dict.fromkeys(features.statuses))
    numbers = {kind: number for number, kind in enumerate(kinds)}
    content = (features.values, [numbers[row] for row in features.statuses], kinds)
    write_whole(path, msgspec.msgpack.encode(content))
