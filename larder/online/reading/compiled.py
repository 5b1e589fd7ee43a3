"""A feature plan compiled: from request rows to Redis keys, from records to model inputs. Does no input or output.

Everything is decided when it is made: keys, offsets, order, on-demand functions. Importing this module loads
neither Feast, Spark, MLflow, pandas nor Arrow.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from itertools import islice
from operator import add, itemgetter
from typing import Any, NamedTuple

from larder.contracts.clock import microseconds
from larder.contracts.plan import FeaturePlan, ViewPlan
from larder.online.packed.keys import ViewKeys, entity_encoder, view_prefix
from larder.online.packed.record import Layout
from larder.online.packed.rows import RowLayout
from larder.online.reading.on_demand import REQUEST, OnDemand
from larder.online.reading.request import request_parser


class Status(StrEnum):
    """What is known about a value. A present record's value may still be null."""

    PRESENT = "PRESENT"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """Older than the view's ttl at the clock's instant; withheld."""
    NOT_FOUND = "NOT_FOUND"
    """Redis has no record for this entity."""

    __hash__ = str.__hash__  # Enum's is written in Python


COMBINATIONS_KEPT = 1_000
"""Of statuses of a row's views: nearly all rows have one of a few."""

WORTH_HALVING = 200
"""Records from which a request is asked for in two halves."""

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
    keys: list[ViewKeys]
    """Per view what to ask Redis for."""
    first: int
    """How many views may be asked for before the others, so that what they find is decoded while Redis looks up the
    rest: all of them, or the first half."""


class _Group(NamedTuple):
    """Stored views whose records are decoded together."""

    views: list[int]
    """Those of numbers alone."""
    until: int
    """The first view of the next group."""
    layout: RowLayout


class CompiledPlan:
    """The work of a plan between a request and Redis, and between Redis and the answer. Never changes."""

    def __init__(self, plan: FeaturePlan) -> None:
        self._parse = request_parser(plan.request_fields)
        self._views = [_StoredView(plan.project, view) for view in plan.views]
        self._encoders = {
            view.entity: entity_encoder(stored) for view, stored in zip(self._views, plan.views, strict=True)
        }
        self._plain = [place for place, view in enumerate(self._views) if view.layout.is_plain]
        self._others = [place for place, view in enumerate(self._views) if not view.layout.is_plain]
        half, count = (len(self._views) + 1) // 2, len(self._views)
        self._half = half
        self._whole = [self._group(0, count)]
        self._halves = [self._group(0, half), self._group(half, count)]
        slots = _slots(plan, self._plain, self._others)
        self._places = [_place(view, slots) for view in plan.views]
        names = {view.reference: view.name.partition("@")[0] for view in plan.views}  # without its version
        self._on_demand = [OnDemand(view, slots, names) for view in plan.on_demand]
        self._pick = _picker([slots[column.view, column.feature] for column in plan.columns], width=len(slots))
        self._column_statuses = lru_cache(COMBINATIONS_KEPT)(partial(_column_statuses, _dependencies(plan)))
        self._all_present = self._column_statuses(*[Status.PRESENT for _ in plan.views])
        self._other_nulls = [None for view in self._others for _ in plan.views[view].features]

    def asked(self, rows: RequestRows) -> Asked:
        """Raises InvalidDataError with the field's name for a row that does not fit."""
        slots = [self._parse(row) for row in rows]
        encoded = {name: [encode(row) for row in rows] for name, encode in self._encoders.items()}
        distinct = {name: list(dict.fromkeys(found)) for name, found in encoded.items()}
        keys = [ViewKeys(view.prefix, distinct[view.entity]) for view in self._views]
        return Asked(
            slots=slots,
            entities=[encoded[view.entity] for view in self._views],
            keys=keys,
            first=len(keys) if len(keys) * len(rows) < WORTH_HALVING else self._half,
        )

    def answered(self, asked: Asked, records: Iterable[bytes | None], now: datetime) -> FeatureRows:
        """`records` are what Redis holds under `asked.keys`; of what is too old at `now` the value is withheld.

        They are drawn when they are needed: those after `asked.first` once the others are decoded. Raises
        SchemaMismatchError for records of another schema, DamagedRecordError for others that are not whole.
        """
        count, instant = len(asked.slots), microseconds(now)
        found, columns = _columns(asked, records), list[list[bytes | None]]()
        values: list[list[tuple[Any, ...]]] = []
        places = [(row, view) for view in self._others for row in range(count)]
        for group in self._whole if asked.first == len(asked.keys) else self._halves:
            columns += islice(found, group.until - len(columns))
            oldest = [instant - self._views[view].ttl for view in group.views]
            rows = group.layout.decode(count, [columns[view] for view in group.views], oldest)
            places += [(row, group.views[place]) for row, place in rows.special]
            values.append(rows.values)
        cells = [(row, view, self._views[view].cell(columns[view][row], instant)) for row, view in places]
        plain = values[0] if len(values) == 1 else list(map(add, *values))
        return self._completed(asked, plain, cells)

    def rows(self, asked: Asked, views: Sequence[Sequence[Cell]]) -> FeatureRows:
        """The answer, from what each row finds in each view (`cells`)."""
        nulls = self._whole[0].layout.nulls
        cells = [(row, view, cell) for view, column in enumerate(views) for row, cell in enumerate(column)]
        return self._completed(asked, [nulls] * len(asked.slots), cells)

    def cells(self, asked: Asked, records: Iterable[bytes | None], now: datetime) -> list[list[Cell]]:
        """Per view what each row finds in the `records` of `asked.keys`. Raises what `answered` raises."""
        instant = microseconds(now)
        return [
            [view.cell(record, instant) for record in column]
            for view, column in zip(self._views, _columns(asked, records), strict=True)
        ]

    def _group(self, start: int, until: int) -> _Group:
        views = [view for view in self._plain if start <= view < until]
        return _Group(views, until, RowLayout([self._views[view].layout for view in views]))

    def _completed(
        self, asked: Asked, plain: Sequence[tuple[Any, ...]], cells: Sequence[tuple[int, int, Cell]]
    ) -> FeatureRows:
        """The answer, from the plain views' values of each row, but those of `cells` by row and view."""
        rows = [[*values, *slots, *self._other_nulls] for values, slots in zip(plain, asked.slots, strict=True)]
        found: dict[int, list[Status]] = {}
        for row, view, (status, _, values) in cells:
            rows[row][self._places[view]] = values
            if status is not Status.PRESENT:
                found.setdefault(row, [Status.PRESENT] * len(self._views))[view] = status
        for on_demand in self._on_demand:
            on_demand.append_outputs(rows)
        statuses = [self._all_present] * len(rows)
        for row, of_views in found.items():
            statuses[row] = self._column_statuses(*of_views)
        return FeatureRows(self._pick(rows), statuses)


class _StoredView:
    """One view of the plan: its keys, its layout, its age limit."""

    def __init__(self, project: str, view: ViewPlan) -> None:
        self.prefix = view_prefix(project, view.name)
        self.entity = (view.request_keys, tuple(key.dtype for key in view.join_keys))
        self.layout = Layout(view)
        self.ttl = math.inf if view.ttl_seconds is None else view.ttl_seconds * 1e6
        self._nulls = (None,) * len(view.features)
        self._not_found: Cell = (Status.NOT_FOUND, None, self._nulls)

    def cell(self, record: bytes | None, now: int) -> Cell:
        """What a record says, None where Redis has none; `now` in microseconds since 1970."""
        if record is None:
            return self._not_found
        event_timestamp, _, values = self.layout.decode(record)
        if now - event_timestamp > self.ttl:
            return (Status.OUTSIDE_MAX_AGE, event_timestamp, self._nulls)
        return (Status.PRESENT, event_timestamp, values)


def _columns(asked: Asked, records: Iterable[bytes | None]) -> Iterator[list[bytes | None]]:
    """Per view the record of each row, from those of `asked.keys`."""
    remaining = iter(records)
    for entities, (_, distinct) in zip(asked.entities, asked.keys, strict=True):
        column = list(islice(remaining, len(distinct)))
        if len(distinct) < len(entities):
            by_entity = dict(zip(distinct, column, strict=True))
            column = [by_entity[entity] for entity in entities]
        yield column


def _picker(order: list[int], *, width: int) -> Callable[[list[list[Any]]], list[list[Any]]]:
    """A function from the slots of rows, of which each has `width`, to their columns."""
    if order == list(range(width)):
        return lambda rows: rows
    if len(order) < 2:  # itemgetter of one place returns a bare value
        return lambda rows: [[row[slot] for slot in order] for row in rows]
    get = itemgetter(*order)
    return lambda rows: list(map(list, map(get, rows)))


def _slots(plan: FeaturePlan, plain: list[int], others: list[int]) -> dict[tuple[str, str], int]:
    """Place of every value in a row: plain views, then request fields, other stored views, on-demand views."""
    names = [(plan.views[view].reference, feature.name) for view in plain for feature in plan.views[view].features]
    names += [(REQUEST, field.name) for field in plan.request_fields]
    names += [(plan.views[view].reference, feature.name) for view in others for feature in plan.views[view].features]
    names += [(view.name, output.name) for view in plan.on_demand for output in view.outputs]
    return {name: slot for slot, name in enumerate(names)}


def _place(view: ViewPlan, slots: Mapping[tuple[str, str], int]) -> slice:
    """Of the view's values in a row."""
    start = slots[view.reference, view.features[0].name] if view.features else 0
    return slice(start, start + len(view.features))


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
