"""A feature plan compiled: from request rows to Redis keys, from records to model inputs. Does no input or output.

Everything is decided when it is made: keys, offsets, order, on-demand functions. Importing this module loads
neither Feast, Spark, MLflow, pandas nor Arrow.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from larder.contracts.plan import FeaturePlan, ViewPlan
from larder.online.on_demand import REQUEST, OnDemand
from larder.online.packed.keys import entity_encoder, view_prefix
from larder.online.packed.record import Layout
from larder.online.packed.types import microseconds
from larder.online.request import request_parser


class Status(StrEnum):
    """What is known about a value. A present record's value may still be null."""

    PRESENT = "PRESENT"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """Older than the view's ttl at the clock's instant; withheld."""
    NOT_FOUND = "NOT_FOUND"
    """Redis has no record for this entity."""


COMBINATIONS_KEPT = 1_000
"""Of statuses of a row's views: nearly all rows have one of a few."""

FEW = 4
"""Records that are decoded sooner one by one than together."""

RequestRows = Sequence[Mapping[str, Any]]
Entity = bytes
Cell = tuple[Status, int | None, tuple[Any, ...]]
"""What one row finds in one view: status, event timestamp in microseconds since 1970 (None: NOT_FOUND), and the values
of all its features, null unless PRESENT. A bare tuple, because one is made for every entity of every view."""


@dataclass(frozen=True)
class FeatureRows:
    """One row per request row, one column per column of the plan."""

    values: list[list[Any]]
    statuses: list[tuple[Status, ...]]


class Asked(NamedTuple):
    """Request rows, checked and encoded. An entity that several rows name is asked for once per view."""

    slots: list[list[Any]]
    """Per row the values of the request fields; the other slots are yet to come."""
    entities: list[list[Entity]]
    """Per view the entity of each row."""
    distinct: list[list[Entity]]
    """Per view the entities to ask for."""
    keys: list[bytes]
    """All Redis keys, view by view."""


class CompiledPlan:
    """The work of a plan between a request and Redis, and between Redis and the answer. Never changes."""

    def __init__(self, plan: FeaturePlan) -> None:
        self._parse = request_parser(plan.request_fields)
        self._views = [_StoredView(plan.project, view) for view in plan.views]
        self._encoders = {
            view.entity: entity_encoder(stored) for view, stored in zip(self._views, plan.views, strict=True)
        }
        slots = _slots(plan)
        self._on_demand = [OnDemand(view, slots) for view in plan.on_demand]
        self._pick = _picker([slots[column.view, column.feature] for column in plan.columns])
        self._column_statuses = lru_cache(COMBINATIONS_KEPT)(partial(_column_statuses, _dependencies(plan)))

    def asked(self, rows: RequestRows) -> Asked:
        """Raises InvalidDataError with the field's name for a row that does not fit."""
        slots = [self._parse(row) for row in rows]
        encoded = {name: [encode(row) for row in rows] for name, encode in self._encoders.items()}
        distinct = {name: list(dict.fromkeys(found)) for name, found in encoded.items()}
        return Asked(
            slots=slots,
            entities=[encoded[view.entity] for view in self._views],
            distinct=[distinct[view.entity] for view in self._views],
            keys=[view.prefix + entity for view in self._views for entity in distinct[view.entity]],
        )

    def answered(self, asked: Asked, records: Iterable[bytes | None], now: datetime) -> FeatureRows:
        """`records` are what Redis holds under `asked.keys`; of what is too old at `now` the value is withheld.

        Raises SchemaMismatchError for records of another schema, OnlineStoreError for damaged ones.
        """
        return self.rows(asked, self.cells(asked, records, now))

    def rows(self, asked: Asked, views: Sequence[Sequence[Cell]]) -> FeatureRows:
        """The answer, from what each row finds in each view (`cells`)."""
        cells = list(zip(*views, strict=True)) or [()] * len(asked.slots)
        rows = [row.copy() for row in asked.slots]
        for row, row_cells in zip(rows, cells, strict=True):
            for _, _, values in row_cells:
                row += values
        for on_demand in self._on_demand:
            on_demand.append_outputs(rows)
        statuses = [self._column_statuses(*[status for status, _, _ in row_cells]) for row_cells in cells]
        return FeatureRows([self._pick(row) for row in rows], statuses)

    def cells(self, asked: Asked, records: Iterable[bytes | None], now: datetime) -> list[list[Cell]]:
        """Per view what each row finds in the `records` of `asked.keys`. Raises what `answered` raises."""
        remaining, instant = iter(records), microseconds(now)
        columns = []
        for view, entities, distinct in zip(self._views, asked.entities, asked.distinct, strict=True):
            cells = view.cells(list(islice(remaining, len(distinct))), instant)
            if len(distinct) < len(entities):
                by_entity = dict(zip(distinct, cells, strict=True))
                cells = [by_entity[entity] for entity in entities]
            columns.append(cells)
        return columns


class _StoredView:
    """One view of the plan: its keys, its layout, its age limit."""

    def __init__(self, project: str, view: ViewPlan) -> None:
        self.prefix = view_prefix(project, view.name)
        self.entity = (view.request_keys, tuple(key.dtype for key in view.join_keys))
        layout = Layout(view)
        self._decode, self._decode_all = layout.decode, layout.decode_all
        self._ttl = math.inf if view.ttl_seconds is None else view.ttl_seconds * 1e6
        self._nulls = (None,) * len(view.features)
        self._not_found: Cell = (Status.NOT_FOUND, None, self._nulls)

    def cells(self, records: Sequence[bytes | None], now: int) -> list[Cell]:
        """What each of some records says, None where Redis has none; `now` in microseconds since 1970."""
        return self._few_cells(records, now) if len(records) < FEW else self._many_cells(records, now)

    def _few_cells(self, records: Sequence[bytes | None], now: int) -> list[Cell]:
        cells = []
        for record in records:
            if record is None:
                cells.append(self._not_found)
            else:
                event_timestamp, _, values = self._decode(record)
                is_too_old = now - event_timestamp > self._ttl
                cells.append(
                    (Status.OUTSIDE_MAX_AGE, event_timestamp, self._nulls)
                    if is_too_old
                    else (Status.PRESENT, event_timestamp, values)
                )
        return cells

    def _many_cells(self, records: Sequence[bytes | None], now: int) -> list[Cell]:
        found = [record for record in records if record is not None]
        decoded, oldest = self._decode_all(found), now - self._ttl
        present, too_old, nulls = Status.PRESENT, Status.OUTSIDE_MAX_AGE, self._nulls
        cells: list[Cell] = [
            (present, event_timestamp, values) if event_timestamp >= oldest else (too_old, event_timestamp, nulls)
            for event_timestamp, values in zip(decoded.event_timestamps, decoded.values, strict=True)
        ]
        if len(found) == len(records):
            return cells
        remaining = iter(cells)
        return [self._not_found if record is None else next(remaining) for record in records]


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
