"""The windows kernel: events of some keys in, one row per key and instant of change out. Pure NumPy and Arrow.

An event enters a window at the first grid instant at or after it and leaves when the window has passed.
"""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from larder.compute.definition import INSTANT, WindowDefinition, WindowFeature
from larder.compute.functions import WindowStatistics
from larder.compute.ranks import Integers, key_ranks, value_ranks
from larder.compute.sliding import Axis, Events, Values, Windows, passed
from larder.contracts.errors import ConfigurationError
from larder.contracts.tables import EVENT_TIMESTAMP


def window_features(
    events: pa.Table,
    definition: WindowDefinition,
    *,
    until: int,
    since: int | None = None,
    also_at: pa.Table | None = None,
) -> pa.Table:
    """Keys, event_timestamp and features at each grid instant from `since` to `until` at which a window changes.

    `events` has the keys, the timestamp and the columns of `definition`, in any order; rows without a key or time
    do not count. `since` (None: the beginning) and `until` are in microseconds since the epoch. `also_at` names
    further instants to answer for (keys and event_timestamp, on the grid). Rows come sorted by key and instant; equal
    events give equal bytes.
    """
    events = _countable(events, definition, until)
    asked = _asked(also_at, definition, until)
    ranks = key_ranks([events, asked], list(definition.keys))
    times = _microseconds(events[definition.timestamp])
    ticks, asked_ticks = -(-times // definition.slide), _microseconds(asked[EVENT_TIMESTAMP]) // definition.slide

    lengths = sorted({feature.window for feature in definition.features})
    axis = _axis(np.concatenate([ticks, asked_ticks]), lengths[-1], ranks.distinct.num_rows, definition)
    timeline = Events(ranks.of[0], ticks, axis.places(ranks.of[0], ticks))
    instants = _instants(timeline, axis.places(ranks.of[1], asked_ticks), lengths, axis)
    is_wanted = instants.ticks <= until // definition.slide
    if since is not None:
        is_wanted &= instants.ticks * definition.slide >= since
    instants = instants.take(is_wanted)

    features: dict[str, pa.Array] = {}
    for column, wanted in groupby(sorted(definition.features, key=_column), key=_column):
        features |= dict(_column_features(events[column], times, timeline, instants, list(wanted)))
    return pa.table(
        {name: ranks.distinct[name].take(instants.ranks) for name in definition.keys}
        | {EVENT_TIMESTAMP: pa.array(instants.ticks * definition.slide).cast(INSTANT)}
        | {feature.name: features[feature.name] for feature in definition.features}
    )


def _countable(events: pa.Table, definition: WindowDefinition, until: int) -> pa.Table:
    """Events that count by `until`, with keys of the declared type and floats of one zero and one NaN."""
    columns = {name: events[name].cast(dtype) for name, dtype in definition.keys.items()}
    columns[definition.timestamp] = events[definition.timestamp].cast(INSTANT)
    for name in definition.columns:
        values = columns.get(name, events[name])
        columns[name] = _one_zero(values) if pa.types.is_floating(values.type) else values
    is_complete = [pc.is_valid(columns[name]) for name in (*definition.keys, definition.timestamp)]
    is_known = pc.less_equal(columns[definition.timestamp].cast(pa.int64()), until)
    for column in is_complete:
        is_known = pc.and_kleene(is_known, column)
    return pa.table(columns).filter(is_known)


def _one_zero(values: pa.ChunkedArray) -> pa.ChunkedArray:
    values = pc.add(values.cast(pa.float64()), 0.0)
    return pc.if_else(pc.is_nan(values), float("nan"), values)


def _asked(also_at: pa.Table | None, definition: WindowDefinition, until: int) -> pa.Table:
    if also_at is None:
        schema = pa.schema([*definition.keys.items(), (EVENT_TIMESTAMP, INSTANT)])
        return schema.empty_table()
    asked = also_at.select([*definition.keys, EVENT_TIMESTAMP])
    return asked.filter(pc.less_equal(asked[EVENT_TIMESTAMP].cast(pa.int64()), until))


def _microseconds(instants: pa.ChunkedArray) -> Integers:
    microseconds: Integers = instants.cast(pa.int64()).to_numpy()
    return microseconds


def _axis(ticks: Integers, longest: int, keys: int, definition: WindowDefinition) -> Axis:
    axis = Axis.over(ticks, longest)
    if axis.stride * (keys + 1) >= 2**63:
        raise ConfigurationError(
            f"View {definition.view!r}: {keys} keys over {axis.stride} grid instants do not fit into 64 bits. "
            "Use a longer slide interval, or look for an absurd time among the events."
        )
    return axis


def _instants(timeline: Events, asked: Integers, lengths: list[int], axis: Axis) -> Events:
    """Where events enter or leave, and where somebody asks."""
    shifts = (0, *lengths)
    places = np.sort(np.concatenate([asked, *(timeline.places + shift for shift in shifts)]))
    # np.unique would hash first, several times slower here than the sort alone.
    places = places[np.flatnonzero(np.diff(places, prepend=places[:1] - 1))]
    ranks, ticks = np.divmod(places, axis.stride)
    ticks += axis.first
    return Events(ranks, ticks, places)


def _column(feature: WindowFeature) -> str:
    return feature.column


def _length(feature: WindowFeature) -> int:
    return feature.window


def _column_features(
    column: pa.ChunkedArray, times: Integers, timeline: Events, instants: Events, features: list[WindowFeature]
) -> Iterator[tuple[str, pa.Array]]:
    rows = np.flatnonzero(column.is_valid().to_numpy())
    rows = rows[_canonical_order(timeline.places[rows], times[rows], _sortable(column.take(rows)))]
    values, events = column.take(rows), timeline.take(rows)
    end = passed(events.places, instants.places)
    for length, alike in groupby(sorted(features, key=_length), key=_length):
        statistics = WindowStatistics(values, Windows(events, instants, length, end))
        for feature in alike:
            # What a float cannot hold exactly is rounded; a whole number that does not fit is an error.
            is_rounded = pa.types.is_floating(feature.dtype)
            yield feature.name, statistics.value(feature.function).cast(feature.dtype, safe=not is_rounded)


def _canonical_order(places: Integers, times: Integers, values: Values) -> Integers:
    """By place, then time, then value: an order that the events' content alone decides."""
    order = np.argsort(places)
    is_tie = np.diff(places[order], prepend=-1) == 0
    tied = np.flatnonzero(is_tie | np.append(is_tie[1:], False))
    # One sort by three columns costs several times more, and few events share a key and a tick.
    rows = order[tied]
    order[tied] = rows[np.lexsort((values[rows], times[rows], places[rows]))]
    return order


def _sortable(values: pa.ChunkedArray) -> Values:
    """Numbers that order as the values do."""
    is_number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    return values.to_numpy() if is_number else value_ranks(values)
