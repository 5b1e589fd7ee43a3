"""Entities that Redis has and history has not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from larder.contracts.clock import Clock
from larder.offline.retrieval.reading import pinned
from larder.online.contents import scanned_keys, stored_records
from larder.online.packed.arrow_types import arrow_type
from larder.verify.compare import Difference, Part
from larder.verify.entities import entity_decoder
from larder.verify.history_side import entity_keys
from larder.verify.proof import Checked, checked_entities
from larder.verify.views import VerifiedView

if TYPE_CHECKING:
    import redis

Hashes = NDArray[np.int64]
KEYS_AT_ONCE = 10_000


def checked_view(view: VerifiedView, client: "redis.Redis", *, clock: Clock) -> Iterator[Checked]:
    """All entities that the history names, then those that only Redis has."""
    entities = entity_keys(pinned(view.history))
    known = []
    for checked in checked_entities(view, client, entities, clock=clock):
        known.append(_hashes(checked.keys))
        yield checked
    others = _unknown_keys(scanned_keys(client, view.project, view.name), known)
    yield from _checked_strays(view, client, others, entities.schema, clock)


def _checked_strays(
    view: VerifiedView, client: "redis.Redis", keys: Iterable[bytes], schema: pa.Schema, clock: Clock
) -> Iterator[Checked]:
    """An entity that the table learned of meanwhile is compared like any other."""
    decode = entity_decoder(view.plan, view.project)
    entities = {key: decode(key) for key in keys}
    names = [key.name for key in view.plan.join_keys]
    rows = [dict(zip(names, entity, strict=True)) for entity in entities.values() if entity is not None]
    # In the types of the view: the table may store numbers in fewer bits than Redis' keys have.
    declared = pa.schema([(key.name, arrow_type(key.dtype)) for key in view.plan.join_keys]) if names else schema
    for checked in checked_entities(view, client, pa.Table.from_pylist(rows, declared), clock=clock):
        yield replace(checked, part=_with_strays(checked))
    no_entity = [key for key, entity in entities.items() if entity is None]
    differences = tuple(Difference(place, "extra", ()) for place in range(len(no_entity)))
    part = Part(0, 0, differences, strays=len(no_entity))
    yield Checked(part, no_entity, stored_records(client, no_entity), lambda places: [None] * len(places))


def _with_strays(checked: Checked) -> Part:
    """The part, its entities without any row of history counted apart."""
    part, found = checked.part, {difference.place: difference for difference in checked.part.differences}
    rows = checked.records_at(range(part.entities))
    places = [at for at, row in enumerate(rows) if row is None and checked.stored[at] is not None]
    strays = tuple(Difference(at, found[at].cause if at in found else "extra", ()) for at in places)
    others = tuple(difference for difference in part.differences if difference.place not in set(places))
    stale = part.stale - sum(at not in found for at in places)
    return Part(part.entities - len(places), stale, others + strays, strays=len(places))


def _unknown_keys(keys: Iterator[bytes], known: Sequence[Hashes]) -> set[bytes]:
    """Keys that are not among the hashed ones; eight bytes of memory for each of those."""
    hashes = np.unique(np.concatenate([np.empty(0, np.int64), *known]))
    unknown: set[bytes] = set()
    while page := list(islice(keys, KEYS_AT_ONCE)):
        found = _hashes(page)
        places = np.searchsorted(hashes, found)
        is_known = hashes[np.minimum(places, len(hashes) - 1)] == found if len(hashes) else np.zeros(len(page), bool)
        unknown.update(key for key, known_already in zip(page, is_known, strict=True) if not known_already)
    return unknown


def _hashes(keys: Sequence[bytes]) -> Hashes:
    return np.fromiter(map(hash, keys), np.int64, len(keys))
