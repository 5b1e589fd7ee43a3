"""What to append to gold: the windows computed anew, less what gold already says."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from larder.compute.definition import WindowDefinition
from larder.compute.kernel.ranks import Integers, key_ranks
from larder.compute.kernel.windows import microseconds_of, window_features
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.kinds import INSTANT


@dataclass(frozen=True)
class Run:
    """One refresh of gold. Instants are microseconds since the epoch."""

    until: int
    """Rows are written for grid instants up to here, this one included."""
    previous: int | None
    """Until where gold had come; None before its first rows."""
    is_live: bool
    """Whether rows after `previous` become known only now, or are a backfill: known as if run on time."""
    since: int | None = None
    """Grid instant before which nothing is looked at, for nothing can have changed there."""


def missing_rows(events: pa.Table, gold: pa.Table, definition: WindowDefinition, run: Run) -> pa.Table:
    """Keys, event_timestamp, known_at and features of the rows that gold lacks or holds with other values.

    `events` and `gold` hold all rows of some keys; with `run.since` gold only from there on, and events as far back as
    windows reach from there. A corrected row is known from the run on, and always later than the row that it corrects;
    so is one at an instant that gold had already passed.
    """
    gold = _latest(gold, definition)
    fresh = window_features(events, definition, since=run.since, until=run.until, also_at=gold)
    stored = _positions(fresh, gold, definition)
    known_at = _known_at(fresh, gold, stored, run)
    rows = fresh.add_column(len(definition.keys) + 1, KNOWN_AT, pa.array(known_at).cast(INSTANT))
    return rows.filter(pc.invert(_is_stored(fresh, gold, stored, definition)))


def _latest(gold: pa.Table, definition: WindowDefinition) -> pa.Table:
    """The last known row per key and instant."""
    ranks = key_ranks([gold], list(definition.keys)).of[0]
    instants, known = microseconds_of(gold[EVENT_TIMESTAMP]), microseconds_of(gold[KNOWN_AT])
    order = np.lexsort((known, instants, ranks))
    is_last = (np.diff(ranks[order], append=-1) != 0) | (np.diff(instants[order], append=0) != 0)
    if len(order):
        is_last[-1] = True
    return gold.take(order[is_last])


def _positions(fresh: pa.Table, gold: pa.Table, definition: WindowDefinition) -> Integers:
    """Row of `gold` for each of `fresh`, -1 for none. Both hold each key and instant once."""
    ranks = key_ranks([fresh, gold], list(definition.keys)).of
    instants = [microseconds_of(table[EVENT_TIMESTAMP]) for table in (fresh, gold)]
    times = np.unique(np.concatenate(instants))
    codes = [rank * len(times) + np.searchsorted(times, at) for rank, at in zip(ranks, instants, strict=True)]
    order = np.argsort(codes[1])
    place = np.searchsorted(codes[1], codes[0], sorter=order)
    found = np.full(len(codes[0]), -1)
    if len(order):
        candidate = order[np.minimum(place, len(order) - 1)]
        found = np.where(codes[1][candidate] == codes[0], candidate, -1)
    return found


def _known_at(fresh: pa.Table, gold: pa.Table, stored: Integers, run: Run) -> Integers:
    instants = microseconds_of(fresh[EVENT_TIMESTAMP])
    is_backfill = np.ones(len(instants), dtype=bool)
    if run.previous is not None:
        is_backfill = (instants > run.previous) & (not run.is_live)
    known_at = np.where(is_backfill, instants, run.until)
    is_known = stored >= 0
    known_at[is_known] = np.maximum(known_at[is_known], microseconds_of(gold[KNOWN_AT])[stored[is_known]] + 1)
    return known_at


def _is_stored(fresh: pa.Table, gold: pa.Table, stored: Integers, definition: WindowDefinition) -> pa.Array:
    """Whether gold holds the same features, to the bit."""
    is_stored = pa.array(stored >= 0)
    rows = pa.array(stored, mask=stored < 0)
    for feature in definition.features:
        new, old = _bits(fresh[feature.name]), _bits(gold[feature.name]).take(rows)
        are_null = pc.and_(pc.is_null(new), pc.is_null(old))
        is_stored = pc.and_(is_stored, pc.or_(are_null, pc.fill_null(pc.equal(new, old), False)))
    return is_stored


def _bits(values: pa.ChunkedArray) -> pa.Array:
    """Floats as the integers that their bytes spell, since NaN differs from itself."""
    array = values.combine_chunks()
    if pa.types.is_floating(array.type):
        return array.view(pa.int64() if array.type == pa.float64() else pa.int32())
    return array
