"""Windows as they were known: of each request only the events count that had become known by its instant.

Gold that was filled afterwards holds every event from its event timestamp on. What serving would have held is one
run over the events known by then, and these differ from request to request: so each request is a key of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.compute.definition import INSTANT, MICROSECOND, WindowDefinition
from larder.compute.ranks import Integers
from larder.compute.windows import windows_at
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.keys import key_ids

PAIRS_PER_RUN = 2_000_000
"""Pairs of a request and an event that one run of the kernel takes, so that it fits into some 300 MB."""

_REQUEST = "__request"


@dataclass(frozen=True)
class _Timeline:
    """Requests and events of all keys on one line; times in microseconds since the epoch, ticks in slides."""

    requests: Integers
    """Place of each request's grid instant."""
    asked_at: Integers
    asked_ticks: Integers
    events: Integers
    """Place of each event; ascending."""
    rows: Integers
    """Row of the events table."""
    known_at: Integers
    ticks: Integers
    span: int
    """Ticks from the first to the last of all; more than one span away begins the next key."""

    def pairs(self, chosen: Integers, reach: int) -> "Iterator[_Pairs]":
        """Each of the `chosen` requests with its key's events of the last `reach` ticks that it knew."""
        begin = np.searchsorted(self.events, self.requests[chosen] - min(reach, self.span + 1), side="right")
        end = np.searchsorted(self.events, self.requests[chosen], side="right")
        runs = np.cumsum(end - begin) // PAIRS_PER_RUN
        for bounds in _equal_runs(runs):
            sizes = (end - begin)[bounds]
            event = np.repeat(begin[bounds] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
            request = np.repeat(chosen[bounds], sizes)
            is_known = self.known_at[event] <= self.asked_at[request]
            yield _Pairs(chosen[bounds], request[is_known], event[is_known])


@dataclass(frozen=True)
class _Pairs:
    asked: Integers
    """Numbers of the requests, ascending; some may have no pair."""
    request: Integers
    event: Integers


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
    the instant from which a row could have been read, all instants UTC microseconds. An event counts from its
    timestamp on, once it is known. A row is all null where gold had no row yet, or one older than the ttl.
    """
    distinct, inverse = _distinct(requests.select([*definition.keys, at]))
    line = _timeline(distinct, events, definition, at=at, known_at=known_at)
    lengths = [feature.window for feature in definition.features]
    features, changed = [], np.full(distinct.num_rows, np.iinfo(np.int64).min)
    for pairs in line.pairs(np.arange(distinct.num_rows), max(lengths)):
        features.append(_windows(pairs, line, events, definition))
        np.maximum.at(changed, pairs.request, line.ticks[pairs.event])
    limit = None if ttl is None else ttl // MICROSECOND
    is_old = ~_is_fresh(line, changed, definition.slide, limit)
    # Where no event of the windows tells, what left them earlier was gold's latest row.
    reach = line.span + 1 if limit is None else max(lengths) + limit // definition.slide + 2
    for pairs in line.pairs(np.flatnonzero(is_old), reach):
        for shift in (0, *lengths):
            ticks = line.ticks[pairs.event] + shift
            has_come = ticks <= line.asked_ticks[pairs.request]
            np.maximum.at(changed, pairs.request[has_come], ticks[has_come])
    is_fresh = pa.array(_is_fresh(line, changed, definition.slide, limit))
    rows = pa.concat_tables(features) if features else _no_rows(definition)
    return pa.table({name: pc.if_else(is_fresh, rows[name], None) for name in rows.column_names}).take(inverse)


def _distinct(requests: pa.Table) -> tuple[pa.Table, pa.Array]:
    """Each request once, and for every row the number of its request."""
    frame = pl.DataFrame(pl.from_arrow(requests))
    once = frame.unique(maintain_order=True).with_row_index(_REQUEST)
    inverse = frame.join(once, on=frame.columns, how="left", nulls_equal=True, maintain_order="left")[_REQUEST]
    return once.drop(_REQUEST).to_arrow(), inverse.to_arrow()


def _timeline(
    requests: pa.Table, events: pa.Table, definition: WindowDefinition, *, at: str, known_at: str
) -> _Timeline:
    names = list(definition.keys)
    asked, past = (pl.DataFrame(pl.from_arrow(table.select(names))) for table in (requests, events))
    asked_keys, keys = key_ids(asked, past, names, table=definition.view)
    is_used = (
        keys.is_not_null().to_numpy()
        & events[definition.timestamp].is_valid().to_numpy()
        & events[known_at].is_valid().to_numpy()
    )
    rows = np.flatnonzero(is_used)
    ticks = -(-_microseconds(events[definition.timestamp])[rows] // definition.slide)
    asked_at = _microseconds(requests[at])
    asked_ticks = asked_at // definition.slide
    both = np.concatenate([ticks, asked_ticks])
    first, last = (int(both.min()), int(both.max())) if len(both) else (0, 0)
    span = last - first
    stride = 2 * span + 2
    # A request with a null key stands where there are no events.
    asked_ranks = asked_keys.cast(pl.Int64).fill_null(-1).to_numpy()
    ranks = keys.cast(pl.Int64).fill_null(0).to_numpy()[rows]
    places = ranks * stride + (ticks - first)
    order = np.argsort(places, kind="stable")
    return _Timeline(
        requests=asked_ranks * stride + (asked_ticks - first),
        asked_at=asked_at,
        asked_ticks=asked_ticks,
        events=places[order],
        rows=rows[order],
        known_at=_microseconds(events[known_at])[rows][order],
        ticks=ticks[order],
        span=span,
    )


def _windows(pairs: _Pairs, line: _Timeline, events: pa.Table, definition: WindowDefinition) -> pa.Table:
    """The features of each asked request, in their order."""
    columns = [*dict.fromkeys((definition.timestamp, *definition.columns))]
    own = replace(definition, keys={_REQUEST: pa.int64()})
    rows = events.select(columns).take(line.rows[pairs.event]).append_column(_REQUEST, pa.array(pairs.request))
    instants = pa.array(line.asked_ticks[pairs.asked] * definition.slide).cast(INSTANT)
    asked = pa.table({_REQUEST: pairs.asked, EVENT_TIMESTAMP: instants})
    return windows_at(rows, own, asked).select([feature.name for feature in definition.features])


def _is_fresh(line: _Timeline, changed: Integers, slide: int, limit: int | None) -> npt.NDArray[np.bool_]:
    """Whether there was a change, and one within the ttl; `changed` is the tick of the latest one known of."""
    is_fresh: npt.NDArray[np.bool_] = changed > np.iinfo(np.int64).min
    if limit is not None:
        is_fresh &= line.asked_at - np.where(is_fresh, changed, 0) * slide <= limit
    return is_fresh


def _equal_runs(runs: Integers) -> Iterator[slice]:
    bounds = [*np.flatnonzero(np.diff(runs, prepend=-1)).tolist(), len(runs)]
    return (slice(begin, end) for begin, end in pairwise(bounds))


def _no_rows(definition: WindowDefinition) -> pa.Table:
    return pa.schema([(feature.name, feature.dtype) for feature in definition.features]).empty_table()


def _microseconds(instants: pa.ChunkedArray) -> Integers:
    microseconds: Integers = pc.fill_null(instants.cast(INSTANT).cast(pa.int64()), 0).to_numpy()
    return microseconds
