"""What a refresh of gold reads: not all events and rows, where the logs tell from when on they can differ."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from larder.compute.definition import WindowDefinition
from larder.compute.events import EventSource
from larder.contracts.clock import microseconds
from larder.contracts.errors import LarderError
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.gold import GoldPosition, is_untouched

_MILLISECOND = 1_000
"""Delta cuts instants in statistics off after it."""
_NEVER = 1 << 62
_REACHED_BACK = 4
"""An event before the first instant looked at makes no instants of its own; measured, it costs a quarter."""


@dataclass(frozen=True)
class Inputs:
    """Two tables, each at one version, and the part of them that matters.

    Instants are microseconds since the epoch; None: from the beginning.
    """

    source: EventSource
    events: DeltaTable
    stored: DeltaTable | None = None
    """Gold; None before its first rows."""
    gold_from: int | None = None
    """No row of gold before it can be missing or wrong."""
    events_from: int | None = None
    """No window from `gold_from` on reaches back further."""

    def work(self, definition: WindowDefinition) -> int | None:
        """About how many events there are to compute with and rows to compare; None where statistics do not say."""
        events = _files(self.events, self.source.column(definition.timestamp))
        stored = {} if self.stored is None else _files(self.stored, EVENT_TIMESTAMP)
        if events is None or stored is None:
            return None
        new = _rows(events, self.gold_from)
        return new + (_rows(events, self.events_from) - new) // _REACHED_BACK + _rows(stored, self.gold_from)


def inputs_of(
    definition: WindowDefinition,
    source: EventSource,
    events: DeltaTable,
    stored: DeltaTable | None,
    previous: GoldPosition | None,
) -> Inputs:
    """`previous` is how far the gold table `stored` has come. All of both where the logs do not tell what changed."""
    everything = Inputs(source, events, stored)
    if stored is None or previous is None:
        return everything
    # Another table may have taken the source's place, and somebody else may have changed gold.
    if previous.source_id != str(events.metadata().id) or not is_untouched(previous, stored):
        return everything
    changed = _earliest_change(source, events, previous.source_version, source.column(definition.timestamp))
    if changed is None:
        return everything
    first = min(-(-changed // definition.slide), microseconds(previous.instant) // definition.slide + 1)
    longest = max(feature.window for feature in definition.features)
    return Inputs(source, events, stored, first * definition.slide, (first - longest - 1) * definition.slide)


@dataclass(frozen=True)
class _Instants:
    """Of one file, cut off to milliseconds; None where it holds none."""

    rows: int
    first: int | None
    last: int | None


def _earliest_change(source: EventSource, events: DeltaTable, since: int, column: str) -> int | None:
    """The earliest event that came, went or changed after version `since`, _NEVER without any; None: nobody knows."""
    try:
        before = _files(open_table(source.table, since), column)
    except LarderError:
        return None
    now = _files(events, column)
    if before is None or now is None:
        return None
    # A file whose rows were only moved (OPTIMIZE) counts as changed, which costs time and nothing else.
    firsts = [{**before, **now}[path].first for path in before.keys() ^ now.keys()]
    return min((first for first in firsts if first is not None), default=_NEVER)


def _rows(files: Mapping[str, _Instants], since: int | None) -> int:
    """Of files that lie in both, the share of time."""
    rows = 0.0
    for file in files.values():
        if file.first is not None and file.last is not None and (since is None or since <= file.last):
            span = file.last - file.first + _MILLISECOND
            rows += file.rows * (1.0 if since is None else min(1.0, (file.last - since + _MILLISECOND) / span))
    return round(rows)


def _files(table: DeltaTable, column: str) -> Mapping[str, _Instants] | None:
    """The files by path; None where statistics do not say it all."""
    if "deletionVectors" in (table.protocol().reader_features or ()):
        return None
    added = pa.table(table.get_add_actions(flatten=True))
    if not added.num_rows:
        return {}
    wanted = ["num_records", f"null_count.{column}", f"min.{column}", f"max.{column}"]
    if not set(wanted) <= set(added.column_names):
        return None
    rows, nulls, first, last = (added[name] for name in wanted)
    is_unknown = pc.and_(pc.is_null(first), pc.fill_null(pc.not_equal(nulls, rows), True))
    if rows.null_count or pc.any(is_unknown).as_py():
        return None
    columns = [added["path"], rows, first.cast(pa.int64()), last.cast(pa.int64())]
    return {path: _Instants(*found) for path, *found in zip(*(column.to_pylist() for column in columns), strict=True)}
