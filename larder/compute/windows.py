"""The windows kernel: events of some keys in, one row per key and instant of change out. Pure NumPy and Arrow.

An event enters a window at the first grid instant at or after it and leaves when the window has passed. All
functions ignore nulls. NaN is a value: it makes sums, means, deviations and maxima NaN, counts as one distinct
value, and is a minimum only where there is nothing else. `stddev` is that of a sample, null below two values.
"""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from larder.compute.definition import INSTANT, WindowDefinition, WindowFeature
from larder.compute.ranks import Integers, key_ranks, value_ranks
from larder.compute.sliding import Axis, Events, Values, Windows, merged_moments, moments
from larder.contracts.errors import ConfigurationError
from larder.contracts.tables import EVENT_TIMESTAMP


def window_features(
    events: pa.Table, definition: WindowDefinition, *, until: int, also_at: pa.Table | None = None
) -> pa.Table:
    """Keys, event_timestamp and features at each grid instant <= `until` at which a window changes.

    `events` has the keys, the timestamp and the columns of `definition`, in any order; rows without a key or time
    do not count. `until` is in microseconds since the epoch. `also_at` names further instants to answer for
    (keys and event_timestamp, on the grid). Rows come sorted by key and instant; equal events give equal bytes.
    """
    events = _countable(events, definition, until)
    asked = _asked(also_at, definition, until)
    ranks = key_ranks([events, asked], list(definition.keys))
    times = _microseconds(events[definition.timestamp])
    ticks, asked_ticks = -(-times // definition.slide), _microseconds(asked[EVENT_TIMESTAMP]) // definition.slide

    lengths = sorted({feature.window for feature in definition.features})
    axis = _axis(np.concatenate([ticks, asked_ticks]), lengths[-1], ranks.distinct.num_rows, definition)
    timeline = Events(ranks.of[0], ticks, axis.places(ranks.of[0], ticks))
    instants = _instants(timeline, axis.places(ranks.of[1], asked_ticks), lengths, axis, until // definition.slide)

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


def _instants(timeline: Events, asked: Integers, lengths: list[int], axis: Axis, until: int) -> Events:
    """Where events enter or leave, and where somebody asks."""
    shifts = (0, *lengths)
    places = np.sort(np.concatenate([asked, *(timeline.places + shift for shift in shifts)]))
    # np.unique would hash first, several times slower here than the sort alone.
    places = places[np.flatnonzero(np.diff(places, prepend=places[:1] - 1))]
    ranks, ticks = np.divmod(places, axis.stride)
    ticks += axis.first
    return Events(ranks, ticks, places).take(ticks <= until)


def _column(feature: WindowFeature) -> str:
    return feature.column


def _column_features(
    column: pa.ChunkedArray, times: Integers, timeline: Events, instants: Events, features: list[WindowFeature]
) -> Iterator[tuple[str, pa.Array]]:
    rows = np.flatnonzero(column.is_valid().to_numpy())
    rows = rows[np.lexsort((_sortable(column.take(rows)), times[rows], timeline.ranks[rows]))]
    values, events = column.take(rows), timeline.take(rows)
    end = np.searchsorted(events.places, instants.places, side="right")
    for length in sorted({feature.window for feature in features}):
        windows = Windows(events, instants, length, end)
        for feature in features:
            if feature.window == length:
                yield feature.name, _feature(feature.function, values, windows).cast(feature.dtype)


def _sortable(values: pa.ChunkedArray) -> Values:
    """Numbers that order as the values do."""
    is_number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    return values.to_numpy() if is_number else value_ranks(values)


def _feature(function: str, values: pa.ChunkedArray, windows: Windows) -> pa.Array:
    if function == "count":
        return pa.array(windows.count)
    if function == "count_distinct":
        return pa.array(windows.distinct(value_ranks(values)))
    if function == "last":
        return values.take(_spread(windows, windows.end[windows.filled] - 1))
    if function in ("min", "max"):
        return _extreme(function, values, windows)
    return _spread(windows, *_arithmetic(function, values.cast(pa.float64()).to_numpy(), windows))


def _extreme(function: str, values: pa.ChunkedArray, windows: Windows) -> pa.Array:
    if pa.types.is_floating(values.type):
        return _spread(windows, windows.folded(values.to_numpy(), np.fmin if function == "min" else np.maximum))
    ranks = value_ranks(values)
    found = windows.folded(ranks, np.minimum if function == "min" else np.maximum)
    by_rank = values.take(np.unique(ranks, return_index=True)[1])
    return by_rank.take(_spread(windows, found))


def _arithmetic(function: str, values: Values, windows: Windows) -> tuple[Values, Values]:
    """Value per filled window, and which of them are defined."""
    count = windows.count[windows.filled]
    with np.errstate(invalid="ignore", over="ignore"):
        if function == "stddev":
            deviations = windows.folded(moments(values), merged_moments)[2]
            return np.sqrt(deviations / np.maximum(count - 1, 1)), count > 1
        total = windows.folded(values, np.add)
        return (total / count if function == "mean" else total), count > 0


def _spread(windows: Windows, found: Values, is_defined: Values | None = None) -> pa.Array:
    """What was found in the filled windows, for all of them; null elsewhere."""
    values, is_null = np.zeros(len(windows.end), dtype=found.dtype), np.ones(len(windows.end), dtype=bool)
    values[windows.filled] = found
    is_null[windows.filled] = False if is_defined is None else ~is_defined
    return pa.array(values, mask=is_null)
