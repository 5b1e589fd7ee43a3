"""Comparing the two sides of one view, entity by entity: what Redis would serve and what history says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from larder.contracts.errors import OnlineStoreError, SchemaMismatchError
from larder.contracts.plan import ViewPlan
from larder.online.packed.record import Layout, Record
from larder.verify.causes import Cause, Circumstances, Stamps

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Offline:
    """What history says of some entities, row for row."""

    values: Sequence[Values]
    """In the order of the view's features."""
    stamps: Sequence[Stamps | None]
    """None where history has no row at the instant."""
    is_valid: Sequence[bool]
    """Whether there is a row and it is within its ttl."""


@dataclass(frozen=True)
class Difference:
    """An entity of which at least one feature differs."""

    place: int
    """Among the entities compared."""
    cause: Cause
    features: tuple[int, ...]
    """Places of the features that differ, in the view's order."""


@dataclass(frozen=True)
class Part:
    """Some entities of a view, compared."""

    entities: int
    stale: int
    """Entities past their ttl on both sides."""
    differences: tuple[Difference, ...]
    strays: int = 0
    """Further entities, of which history knows nothing; each has a difference without features."""


def compared_part(stored: Sequence[bytes | None], offline: Offline, view: ViewPlan, at: Circumstances) -> Part:
    """`stored` is what Redis holds for the same entities, None where it holds nothing.

    Values are equal when a caller could not tell them apart: NaN equals NaN, null equals null, also inside
    lists and maps. Where one side has a value to serve and the other has none, all features differ.
    """
    layout, oldest = Layout(view), _oldest_served(view, at.instant)
    everything = tuple(range(len(view.features)))
    differences, stale = [], 0
    sides = zip(stored, offline.values, offline.stamps, offline.is_valid, strict=True)
    for place, (record, values, stamps, is_valid) in enumerate(sides):
        online = _decoded(layout, record)
        if isinstance(online, str):
            differences.append(Difference(place, online, everything))
            continue
        is_served = online is not None and online.event_timestamp >= oldest
        if is_served != is_valid:
            differences.append(Difference(place, _cause_of_absence(online, stamps, at), everything))
        elif online is None or not is_served:
            stale += online is not None
        elif online.values != values and (features := _differing(online.values, values)):
            differences.append(Difference(place, at.cause(_stamps(online), stamps), features))
    return Part(len(stored), stale, tuple(differences))


def same(online: Any, offline: Any) -> bool:
    """Whether a caller could not tell the values apart."""
    if isinstance(online, float) and isinstance(offline, float):
        return online == offline or (online != online and offline != offline)
    if isinstance(online, Mapping) and isinstance(offline, Mapping | list):
        pairs = dict(offline)  # Arrow tells a map inside another type as a list of pairs
        return online.keys() == pairs.keys() and all(same(value, pairs[key]) for key, value in online.items())
    if isinstance(online, list | tuple) and isinstance(offline, list | tuple):
        return len(online) == len(offline) and all(map(same, online, offline))
    return bool(online == offline)


def _decoded(layout: Layout, record: bytes | None) -> Record | Cause | None:
    if record is None:
        return None
    try:
        return layout.decode(record)
    except SchemaMismatchError:
        return "schema"
    except OnlineStoreError:
        return "damaged"


def _oldest_served(view: ViewPlan, instant: int) -> float:
    """Earliest event timestamp that the reader does not withhold."""
    return float("-inf") if view.ttl_seconds is None else instant - view.ttl_seconds * 1e6


def _cause_of_absence(online: Record | None, offline: Stamps | None, at: Circumstances) -> Cause:
    """Only one side has a value to serve."""
    if online is None:
        return "missing"
    return "ttl" if _stamps(online) == offline else at.cause(_stamps(online), offline)


def _differing(online: Values, offline: Values) -> tuple[int, ...]:
    pairs: Iterator[tuple[Any, Any]] = zip(online, offline, strict=True)
    return tuple(place for place, pair in enumerate(pairs) if not same(*pair))


def _stamps(record: Record) -> Stamps:
    return Stamps(record.event_timestamp, record.known_at)
