"""The windows once more, as plainly as they can be written: loops over dicts, no shortcut."""

import math
import statistics
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.offline.tables.kinds import INSTANT

Event = dict[str, Any]
MINUTE = 60_000_000


def definition(*features: WindowFeature, keys: tuple[str, ...] = ("k",), slide: int = 5 * MINUTE) -> WindowDefinition:
    return WindowDefinition("view", {key: pa.string() for key in keys}, "t", slide, features)


def expected_rows(events: Iterable[Event], view: WindowDefinition, until: int) -> dict[tuple[Any, ...], list[Any]]:
    """(key, ..., instant) -> features, at each grid instant at which an event enters or leaves a window."""
    usable = [event for event in events if None not in (event["t"], *(event[key] for key in view.keys))]
    usable = [event for event in usable if event["t"] <= until]
    rows = {}
    for key in {tuple(event[name] for name in view.keys) for event in usable}:
        own = [event for event in usable if tuple(event[name] for name in view.keys) == key]
        for instant in {at for event in own for at in changes(event["t"], view)}:
            if instant <= until:
                rows[*key, instant] = [value_at(instant, own, feature, view.slide) for feature in view.features]
    return rows


def changes(t: int, view: WindowDefinition) -> list[int]:
    enters = math.ceil(t / view.slide) * view.slide if abs(t) < 2**53 else -(-t // view.slide) * view.slide
    return [enters, *(enters + feature.window * view.slide for feature in view.features)]


def value_at(instant: int, events: list[Event], feature: WindowFeature, slide: int) -> Any:
    inside = [event for event in events if instant - feature.window * slide < event["t"] <= instant]
    known = sorted(
        ((event["t"], event[feature.column]) for event in inside if event[feature.column] is not None), key=_order
    )
    values = [value for _, value in known]
    match feature.function:
        case "count":
            return len(values)
        case "count_distinct":
            return len({_order((0, value)) for value in values})
        case "sum":
            return math.fsum(values) if values else None
        case "mean":
            return math.fsum(values) / len(values) if values else None
        case "stddev":
            return statistics.stdev(values) if len(values) > 1 else None
        case "min":
            return min(values, key=lambda value: _order((0, value)), default=None)
        case "max":
            return max(values, key=lambda value: _order((0, value)), default=None)
        case "last":
            return values[-1] if values else None


def _order(item: tuple[int, Any]) -> tuple[int, bool, Any]:
    """By time, then by value with NaN last."""
    t, value = item
    is_nan = isinstance(value, float) and math.isnan(value)
    return t, is_nan, 0 if is_nan else value


def events_table(events: Iterable[Event], view: WindowDefinition, types: dict[str, pa.DataType]) -> pa.Table:
    rows = list(events)
    columns = {key: pa.array([event[key] for event in rows], pa.string()) for key in view.keys}
    columns["t"] = pa.array([event["t"] for event in rows], pa.int64()).cast(INSTANT)
    return pa.table(columns | {n: pa.array([event[n] for event in rows], dtype) for n, dtype in types.items()})
