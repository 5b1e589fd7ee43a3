"""The compiled reader: request rows in, model inputs out, one Redis round trip for all of them.

Everything is decided when the reader is made: keys, offsets, order, on-demand functions. Importing this
module loads neither Feast, Spark, MLflow, pandas nor Arrow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from larder.contracts.clock import Clock, system_clock
from larder.contracts.plan import FeaturePlan, ViewPlan
from larder.online.many_keys import multi_get
from larder.online.on_demand import REQUEST, OnDemand
from larder.online.packed.keys import entity_encoder, view_prefix
from larder.online.packed.record import EPOCH, Layout
from larder.online.request import request_parser
from larder.online.server.connection import connect, redis_failures

if TYPE_CHECKING:
    import redis


class Status(StrEnum):
    """What is known about a value. A present record's value may still be null."""

    PRESENT = "PRESENT"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """Older than the view's ttl at the clock's instant; withheld."""
    NOT_FOUND = "NOT_FOUND"
    """Redis has no record for this entity."""


COMBINATIONS_KEPT = 1_000
"""Of statuses of a row's views: nearly all rows have one of a few."""

Cell = tuple[Status, tuple[Any, ...]]
"""What one row finds in one view: status and the values of all its features."""


@dataclass(frozen=True)
class FeatureRows:
    """One row per request row, one column per column of the plan."""

    values: list[list[Any]]
    statuses: list[tuple[Status, ...]]


class FeatureReader:
    """Reads the features of one plan; safe to share between threads.

    `source` is a client made by `connect`, or an address. `clock` decides which values are too old.
    """

    def __init__(self, plan: FeaturePlan, source: "redis.Redis | str", clock: Clock = system_clock) -> None:
        self.plan = plan
        self._client = connect(source) if isinstance(source, str) else source
        self._fetch = multi_get(self._client)
        self._clock = clock
        self._parse = request_parser(plan.request_fields)
        self._views = [_StoredView(plan.project, view) for view in plan.views]
        self._encoders = {
            view.entity: entity_encoder(stored) for view, stored in zip(self._views, plan.views, strict=True)
        }
        slots = _slots(plan)
        self._on_demand = [OnDemand(view, slots) for view in plan.on_demand]
        self._pick = _picker([slots[column.view, column.feature] for column in plan.columns])
        self._column_statuses = lru_cache(COMBINATIONS_KEPT)(partial(_column_statuses, _dependencies(plan)))

    def read(self, rows: Sequence[Mapping[str, Any]]) -> FeatureRows:
        """Values and statuses of `rows`, in the plan's column order.

        Each row names all `plan.entity_keys` (a null key is not found) and `plan.request_fields`. An
        on-demand output has the worst status of its inputs. Raises InvalidDataError with the field's name
        for a row that does not fit, OnlineStoreError when Redis fails, SchemaMismatchError when its
        records are of another schema.
        """
        slots = [self._parse(row) for row in rows]
        cells = self._cells(rows)
        for row, row_cells in zip(slots, cells, strict=True):
            for _, values in row_cells:
                row += values
        for on_demand in self._on_demand:
            on_demand.append_outputs(slots)
        statuses = [self._column_statuses(*[status for status, _ in row_cells]) for row_cells in cells]
        return FeatureRows([self._pick(row) for row in slots], statuses)

    def _cells(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Cell, ...]]:
        """What each row finds in each view. An entity that several rows name is fetched and decoded once."""
        entities = {name: [encode(row) for row in rows] for name, encode in self._encoders.items()}
        distinct = {name: list(dict.fromkeys(found)) for name, found in entities.items()}
        keys = [view.prefix + entity for view in self._views for entity in distinct[view.entity]]
        if not keys:
            return [() for _ in rows]
        with redis_failures(self._client):
            records = iter(self._fetch(keys))
        now = (self._clock() - EPOCH) // timedelta(microseconds=1)
        columns = []
        for view in self._views:
            cells = {entity: view.cell(next(records), now) for entity in distinct[view.entity]}
            columns.append([cells[entity] for entity in entities[view.entity]])
        return list(zip(*columns, strict=True))


class _StoredView:
    """One view of the plan: its keys, its layout, its age limit."""

    def __init__(self, project: str, view: ViewPlan) -> None:
        self.prefix = view_prefix(project, view.name)
        self.entity = (view.request_keys, tuple(key.dtype for key in view.join_keys))
        self._decode = Layout(view).decode
        self._ttl = math.inf if view.ttl_seconds is None else view.ttl_seconds * 1e6
        nulls = (None,) * len(view.features)
        self._not_found: Cell = (Status.NOT_FOUND, nulls)
        self._too_old: Cell = (Status.OUTSIDE_MAX_AGE, nulls)

    def cell(self, record: bytes | None, now: int) -> Cell:
        """`now` in microseconds since 1970."""
        if record is None:
            return self._not_found
        event_timestamp, _, values = self._decode(record)
        return self._too_old if now - event_timestamp > self._ttl else (Status.PRESENT, values)


def _picker(order: list[int]) -> Callable[[list[Any]], list[Any]]:
    """A function from the slots of a row to its columns."""
    if len(order) < 2:  # itemgetter of one place returns a bare value
        return lambda row: [row[slot] for slot in order]
    get = itemgetter(*order)
    return lambda row: list(get(row))


def _slots(plan: FeaturePlan) -> dict[tuple[str, str], int]:
    """Place of every value in a row: request fields, then stored views, then on-demand views."""
    names = [(REQUEST, field.name) for field in plan.request_fields]
    names += [(view.reference, feature.name) for view in plan.views for feature in view.features]
    names += [(view.name, output.name) for view in plan.on_demand for output in view.outputs]
    return {name: slot for slot, name in enumerate(names)}


def _dependencies(plan: FeaturePlan) -> list[list[int]]:
    """For each column the stored views that it depends on."""
    stored = {view.reference: index for index, view in enumerate(plan.views)}
    on_demand = {view.name: view.inputs for view in plan.on_demand}
    return [
        [stored[column.view]]
        if column.view in stored
        else sorted({stored[view] for view, _ in on_demand[column.view] if view != REQUEST})
        for column in plan.columns
    ]


def _column_statuses(dependencies: list[list[int]], *views: Status) -> tuple[Status, ...]:
    """For each column the worst status of the views that it depends on."""
    return tuple(_worst([views[view] for view in own]) for own in dependencies)


def _worst(statuses: list[Status]) -> Status:
    ranks = list(Status)
    return max(statuses, key=ranks.index, default=Status.PRESENT)
