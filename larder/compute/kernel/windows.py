"""The windows kernel: events of some keys in, one row per key and instant of change out. Pure NumPy and Arrow.

An event enters a window at the first grid instant at or after it and leaves when the window has passed.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.kernel.functions import Ranges, WindowStatistics
from larder.compute.kernel.ranks import Integers, key_ranks, value_ranks
from larder.compute.kernel.sliding import Axis, Events, Values, Windows, passed
from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.tables.kinds import INSTANT, has_overflowed


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
    times = microseconds_of(events[definition.timestamp])
    ticks, asked_ticks = -(-times // definition.slide), microseconds_of(asked[EVENT_TIMESTAMP]) // definition.slide

    lengths = sorted({feature.window for feature in definition.features})
    axis = _axis(np.concatenate([ticks, asked_ticks]), lengths[-1], ranks.count, definition)
    timeline = Events(ranks.of[0], ticks, axis.places(ranks.of[0], ticks))
    instants = _instants(timeline, axis.places(ranks.of[1], asked_ticks), lengths, axis)
    is_wanted = instants.ticks <= until // definition.slide
    if since is not None:
        is_wanted &= instants.ticks * definition.slide >= since
    instants = instants.take(is_wanted)

    features: dict[str, pa.Array] = {}
    for column in definition.columns:
        features |= _column_features(events[column], times, timeline, instants, definition.features_of(column))
    return pa.table(
        {name: ranks.distinct[name].take(instants.ranks) for name in definition.keys}
        | {EVENT_TIMESTAMP: pa.array(instants.ticks * definition.slide).cast(INSTANT)}
        | {feature.name: features[feature.name] for feature in definition.features}
    )


def canonical(events: pa.Table, definition: WindowDefinition) -> pa.Table:
    """The events with keys of the declared type, UTC microseconds, and floats of one zero and one NaN."""
    columns = {name: events[name].cast(dtype) for name, dtype in definition.keys.items()}
    columns[definition.timestamp] = events[definition.timestamp].cast(INSTANT)
    for name in definition.columns:
        values = columns.get(name, events[name])
        columns[name] = _one_zero(values) if pa.types.is_floating(values.type) else values
    return pa.table({name: columns.get(name, events[name]) for name in events.column_names})


def column_features(
    values: pa.ChunkedArray, features: Sequence[WindowFeature], windows: Callable[[int], Ranges]
) -> dict[str, pa.Array]:
    """By name, features of one column, of which `values` holds those that count; `windows` gives those of a length."""
    found: dict[str, pa.Array] = {}
    for length in {feature.window for feature in features}:
        statistics = WindowStatistics(values, windows(length))
        for feature in features:
            if feature.window == length:
                found[feature.name] = _fitted(statistics.value(feature.function), feature)
    return found


def microseconds_of(instants: pa.ChunkedArray) -> Integers:
    """Since the epoch."""
    microseconds: Integers = instants.cast(INSTANT).cast(pa.int64()).to_numpy()
    return microseconds


def _countable(events: pa.Table, definition: WindowDefinition, until: int) -> pa.Table:
    """Events that count by `until`."""
    events = canonical(events, definition)
    is_complete = [pc.is_valid(events[name]) for name in (*definition.keys, definition.timestamp)]
    is_known = pc.less_equal(events[definition.timestamp].cast(pa.int64()), until)
    for column in is_complete:
        is_known = pc.and_kleene(is_known, column)
    return events.filter(is_known)


def _one_zero(values: pa.ChunkedArray) -> pa.ChunkedArray:
    values = pc.add(values.cast(pa.float64()), 0.0)
    return pc.if_else(pc.is_nan(values), float("nan"), values)


def _asked(also_at: pa.Table | None, definition: WindowDefinition, until: int) -> pa.Table:
    if also_at is None:
        schema = pa.schema([*definition.keys.items(), (EVENT_TIMESTAMP, INSTANT)])
        return schema.empty_table()
    asked = also_at.select([*definition.keys, EVENT_TIMESTAMP])
    return asked.filter(pc.less_equal(asked[EVENT_TIMESTAMP].cast(pa.int64()), until))


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


def _column_features(
    column: pa.ChunkedArray, times: Integers, timeline: Events, instants: Events, features: Sequence[WindowFeature]
) -> dict[str, pa.Array]:
    rows = np.flatnonzero(column.is_valid().to_numpy())
    rows = rows[_canonical_order(timeline.places[rows], times[rows], _sortable(column.take(rows)))]
    events = timeline.take(rows)
    end = passed(events.places, instants.places)
    return column_features(column.take(rows), features, lambda length: Windows(events, instants, length, end))


def _fitted(values: pa.Array, feature: WindowFeature) -> pa.Array:
    """What a float cannot hold exactly is rounded. Raises InvalidDataError for a number beyond the declared type."""
    try:
        fitting = values.cast(feature.dtype, safe=not pa.types.is_floating(feature.dtype))
        problem = "a number is beyond its range" if has_overflowed(fitting, values) else ""
    except pa.ArrowInvalid as refusal:
        problem = str(refusal)
    if problem:
        raise InvalidDataError(
            f"Aggregation {feature.name!r}, {feature.function} of {feature.column!r}, does not fit {feature.dtype}: "
            f"{problem}. Declare the field with 64 bits, in a view of a new name if this one has gold already.",
            field=feature.name,
        )
    return fitting


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
