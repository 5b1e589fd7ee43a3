"""Windows as they were known: of each request only the events count that had become known by its instant.

Gold that was filled afterwards holds every event from its event timestamp on. What serving would have held is one
run over the events known by then, and these differ from request to request, so each request has windows of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.compute.definition import WindowDefinition
from larder.compute.kernel.ranks import Integers, value_ranks
from larder.compute.kernel.windows import canonical, column_features, microseconds_of
from larder.contracts.clock import MICROSECOND
from larder.leakage.ranges import SeparateRanges, spread

PAIRS_PER_RUN = 2_000_000
"""Pairs of a request and an event that are looked at together, so that they fit into some 200 MB."""

NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class _Points:
    """Requests or events: the key's number, the tick of the grid and the instant from which one is known, or asks."""

    keys: Integers
    ticks: Integers
    known_at: Integers

    def take(self, rows: Integers) -> "_Points":
        return _Points(self.keys[rows], self.ticks[rows], self.known_at[rows])


@dataclass(frozen=True)
class _Pairs:
    """Some requests, each with the events before it that it knew, in the events' order."""

    requests: slice
    request: Integers
    """Counted from the first of `requests`."""
    event: Integers

    @property
    def asked(self) -> int:
        return int(self.requests.stop - self.requests.start)


def windows_known_at(
    requests: pa.Table,
    events: pa.Table,
    definition: WindowDefinition,
    *,
    at: str,
    known_at: str,
    ttl: timedelta | None,
) -> pa.Table:
    """One row per request, in order: the features that gold would have held at `at`, had it been kept up live.

    `requests` holds the keys and `at`; `events` the keys, the timestamp and columns of `definition` and `known_at`,
    the instant from which a row could have been read; instants are UTC. An event counts from its timestamp on, once
    it is known. A row is all null where gold had no row yet, or one older than the ttl. Sums are those of gold but
    for the order of their additions, which may show in the last digit.
    """
    once, inverse = _distinct(requests.select([*definition.keys, at]))
    asked, past, events = _points(once, events, definition, at=at, known_at=known_at)
    is_held = pa.array(_is_held(asked, past, definition, ttl))
    features: dict[str, pa.ChunkedArray] = {}
    for name in definition.columns:
        found = _column_features(events, name, asked, past, definition)
        features |= {feature: pc.if_else(is_held, found[feature], None) for feature in found.column_names}
    return pa.table({feature.name: features[feature.name] for feature in definition.features}).take(inverse)


def _distinct(requests: pa.Table) -> tuple[pa.Table, pa.Array]:
    """Each request once, and for every row the number of its request."""
    frame = pl.DataFrame(pl.from_arrow(requests))
    once = frame.unique(maintain_order=True).with_row_index("__request")
    inverse = frame.join(once, on=frame.columns, how="left", nulls_equal=True, maintain_order="left")["__request"]
    return once.drop("__request").to_arrow(), inverse.to_arrow()


def _points(
    requests: pa.Table, events: pa.Table, definition: WindowDefinition, *, at: str, known_at: str
) -> tuple[_Points, _Points, pa.Table]:
    """Requests; events that can count; and the rows of these."""
    events = canonical(events, definition)
    having, asking = _keys(events, definition), _keys(requests, definition)
    numbers = asking.drop_nulls().unique().with_row_index("")
    keys, asked_keys = (
        frame.join(numbers, on=asking.columns, how="left", maintain_order="left")[""].cast(pl.Int64)
        for frame in (having, asking)
    )
    is_used = pc.and_(events[definition.timestamp].is_valid(), events[known_at].is_valid()).to_numpy()
    rows = np.flatnonzero(is_used & keys.is_not_null().to_numpy())
    events = events.take(rows)
    ticks = -(-microseconds_of(events[definition.timestamp]) // definition.slide)
    past = _Points(keys.gather(rows).to_numpy(), ticks, microseconds_of(events[known_at]))
    asked_at = microseconds_of(requests[at])
    # No event has the key of a request that lacks a part of it.
    asked = _Points(asked_keys.fill_null(-1).to_numpy(), asked_at // definition.slide, asked_at)
    return asked, past, events


def _keys(table: pa.Table, definition: WindowDefinition) -> pl.DataFrame:
    """The key columns in their declared types, compared as such; without any, one that is the same in every row."""
    columns = {name: table[name].cast(dtype) for name, dtype in definition.keys.items()}
    return pl.DataFrame(pl.from_arrow(pa.table(columns or {"all": np.zeros(table.num_rows)})))


def _column_features(
    events: pa.Table, name: str, asked: _Points, past: _Points, definition: WindowDefinition
) -> pa.Table:
    """All functions of one column, which ignore its nulls; one row per request."""
    rows = np.flatnonzero(events[name].is_valid().to_numpy())
    # Of equal times the greater value is the last, as in gold.
    ties, times = value_ranks(events[name].take(rows)), microseconds_of(events[definition.timestamp])[rows]
    rows = rows[np.lexsort((ties, times, past.keys[rows]))]
    values, own = events[name].take(rows), past.take(rows)
    wanted = definition.features_of(name)
    schema = pa.schema([(feature.name, feature.dtype) for feature in wanted])
    parts = [schema.empty_table()]
    for pairs in _pairs(asked, own, max(feature.window for feature in wanted)):
        ages = asked.ticks[pairs.requests][pairs.request] - own.ticks[pairs.event]
        columns = column_features(values.take(pairs.event), wanted, partial(_ranges, pairs, ages))
        parts.append(pa.table(columns).select(schema.names))
    return pa.concat_tables(parts)


def _ranges(pairs: _Pairs, ages: Integers, length: int) -> SeparateRanges:
    """Each request's window of a length over the events of its pairs, of which `ages` tells the ticks since."""
    ends = np.cumsum(np.bincount(pairs.request, minlength=pairs.asked))
    return SeparateRanges(ends - np.bincount(pairs.request[ages < length], minlength=pairs.asked), ends)


def _is_held(
    asked: _Points, past: _Points, definition: WindowDefinition, ttl: timedelta | None
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Whether gold had a row for each request, and one within the ttl.

    Gold has a row for each instant at which an event known by then had entered or left a window.
    """
    lengths = sorted({feature.window for feature in definition.features})
    limit = None if ttl is None else ttl // MICROSECOND
    past = past.take(np.lexsort((past.ticks, past.keys)))
    farthest = None if limit is None else lengths[-1] + limit // definition.slide + 2
    is_held = np.zeros(len(asked.keys), dtype=bool)
    # Nearly always an event of the last while answers, and few requests have to look further back.
    for reach in (*lengths, farthest):
        left = np.flatnonzero(~is_held)
        changed = np.full(len(left), NEVER)
        for pairs in _pairs(asked.take(left), past, reach):
            requests = pairs.request + pairs.requests.start
            for shift in (0, *lengths):
                ticks = past.ticks[pairs.event] + shift
                has_come = ticks <= asked.ticks[left][requests]
                np.maximum.at(changed, requests[has_come], ticks[has_come])
        is_fresh = changed > NEVER
        if limit is not None:
            is_fresh &= asked.known_at[left] - np.where(is_fresh, changed, 0) * definition.slide <= limit
        is_held[left] = is_fresh
    return is_held


def _pairs(asked: _Points, past: _Points, reach: int | None) -> Iterator[_Pairs]:
    """Each request with its key's events of the last `reach` ticks (None: all) that it knew.

    `past` is in order of key and tick.
    """
    both = np.concatenate([asked.ticks, past.ticks])
    first, span = (int(both.min()), int(np.ptp(both))) if len(both) else (0, 0)
    # Keys lie so far apart that looking back over all of time leads into none of the others.
    stride = 2 * span + 2
    places, events = (points.keys * stride + (points.ticks - first) for points in (asked, past))
    begin = np.searchsorted(events, places - (span + 1 if reach is None else min(reach, span + 1)), side="right")
    end = np.searchsorted(events, places, side="right")
    run = np.cumsum(end - begin) // PAIRS_PER_RUN
    for start, stop in pairwise([*np.flatnonzero(np.diff(run, prepend=-1)).tolist(), len(run)]):
        chosen = slice(start, stop)
        sizes = (end - begin)[chosen]
        event = spread(begin[chosen], sizes)
        is_known = past.known_at[event] <= np.repeat(asked.known_at[chosen], sizes)
        yield _Pairs(chosen, np.repeat(np.arange(stop - start), sizes)[is_known], event[is_known])
