"""Skew: the features that answers were given with, against their recomputation from history as of the same instant."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.clock import MICROSECOND
from larder.contracts.monitoring import Finding, Monitoring
from larder.contracts.plan import Column
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.tables.kinds import INSTANT
from monitoring.monitors.answers import Answers, field
from monitoring.monitors.shares import lowest_share
from monitoring.monitors.window import Window, verdict_of

Recompute = Callable[[pa.Table], pa.Table]
"""Request rows with their `event_timestamp` (the answer's instant) -> features as of then, row for row."""

MOST_ROWS = 2_000
"""Recomputed at most; spread evenly over the window."""


@dataclass(frozen=True)
class Run:
    """A run that brought new values online."""

    until: datetime
    """What became known by then it brought; history has the values as known from this instant on."""
    ended_at: datetime
    """By then all of them were online."""


def skew(
    window: Window, answers: Answers, recompute: Recompute, runs: Sequence[Run], limits: Monitoring
) -> list[Finding]:
    """Share of the model's own answers whose logged value differs, per feature. Raises what `recompute` raises.

    An answer that was given while one of `runs` was under way may have the value from before it. What the feature
    service no longer has is left out: the next model does not learn from it.
    """
    own = answers.own
    rows = answers.rows.take(own[np.linspace(0, len(own) - 1, min(len(own), MOST_ROWS)).astype(np.int64)])
    requests = _requests(rows)
    recomputed = recompute(requests)
    places, before = _before_runs(requests, recompute, runs, limits.lag)
    found = []
    for column in answers.model.plan.columns:
        if column.name not in recomputed.column_names:
            continue
        logged = field(rows, "features", column.name)
        differing = differences(logged, recomputed[column.name])
        if before is not None:
            differing[places] &= differences(logged.take(pa.array(places)), before[column.name])
        found.append(_finding(window, column, requests, logged, recomputed[column.name], differing, limits))
    return found


def _before_runs(
    requests: pa.Table, recompute: Recompute, runs: Sequence[Run], lag: timedelta
) -> tuple[npt.NDArray[np.int64], pa.Table | None]:
    """Places of the requests that came during a run of at most `lag`, and their features as known before it; None
    without any."""
    ordered = sorted((run for run in runs if run.ended_at - run.until <= lag), key=lambda run: run.until)
    untils = [run.until for run in ordered]

    def begun_at(instant: datetime) -> datetime | None:
        """When the first run began that was under way then."""
        near = ordered[bisect_left(untils, instant - lag) : bisect_right(untils, instant)]
        return next((run.until for run in near if instant <= run.ended_at), None)

    begun = [begun_at(instant) for instant in requests[EVENT_TIMESTAMP].cast(INSTANT).to_pylist()]
    places = np.array([place for place, until in enumerate(begun) if until is not None], dtype=np.int64)
    if not len(places):
        return places, None
    earlier = pa.array([until - MICROSECOND for until in begun if until is not None], INSTANT)
    during = requests.take(pa.array(places))
    position = during.column_names.index(EVENT_TIMESTAMP)
    return places, recompute(during.set_column(position, EVENT_TIMESTAMP, earlier))


def differences(logged: pa.ChunkedArray, recomputed: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where two columns differ, as the model sees them: by the logged type's precision, NaN and null alike."""
    if not _is_number(logged.type):
        cast = recomputed.cast(logged.type)
        unequal = pc.fill_null(pc.not_equal(logged, cast), False)
        is_half = pc.xor(pc.is_null(logged), pc.is_null(cast))
        return np.asarray(pc.or_(unequal, is_half))
    precision = np.float32 if logged.type == pa.float32() else np.float64
    left, right = (side.cast(pa.float64()).to_numpy().astype(precision) for side in (logged, recomputed))
    return np.asarray((left != right) & ~(np.isnan(left) & np.isnan(right)))


def _requests(rows: pa.Table) -> pa.Table:
    names = [item.name for item in rows.schema.field("request").type]
    columns = {name: field(rows, "request", name) for name in names}
    return pa.table(columns | {EVENT_TIMESTAMP: rows["at"]})


def _finding(
    window: Window,
    column: Column,
    requests: pa.Table,
    logged: pa.ChunkedArray,
    recomputed: pa.ChunkedArray,
    differing: npt.NDArray[np.bool_],
    limits: Monitoring,
) -> Finding:
    rows, count = len(differing), int(differing.sum())
    share, limit = count / rows, limits.skew_share
    # A sample that differs at all disproves a limit of 0; any other limit is judged with its sampling error.
    is_alarm = count > 0 if limit == 0 else lowest_share(count, rows, error=limits.false_alarms) > limit
    evidence = f"{count:,} of {rows:,} logged values differ from view {column.view} as of the same instant."
    if count:
        place = int(np.argmax(differing))
        evidence += f" {_example(requests, logged, recomputed, place)}"
    return window.judged("skew", column.name, "differing_share", share, limit, verdict_of(is_alarm), evidence)


def _example(requests: pa.Table, logged: pa.ChunkedArray, recomputed: pa.ChunkedArray, place: int) -> str:
    request = ", ".join(f"{name}={_shown(value[0])}" for name, value in requests.slice(place, 1).to_pydict().items())
    return f"Example: {request}: logged {logged[place].as_py()}, recomputed {recomputed[place].as_py()}."


def _shown(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_floating(dtype) or pa.types.is_integer(dtype) or pa.types.is_boolean(dtype))
