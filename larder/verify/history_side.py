"""The offline side of the proof: by the as-of join that training uses, for some entities at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from larder.contracts.plan import Feature, ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import History
from larder.offline.join.as_of import Asked
from larder.offline.join.keys import NONE
from larder.offline.retrieval.reading import StoredRows, conditions
from larder.offline.tables.kinds import INSTANT
from larder.online.packed.arrow_types import fitted
from larder.online.packed.cells import packed_cells
from larder.online.packed.packing import packed_records, typed_rows
from larder.online.packed.record import Layout
from larder.online.packed.types import MAPS, cell_decoder
from larder.verify.causes import Stamps
from larder.verify.compare import Offline

_AT = "@instant"
_ONE_ROW = ""


def entity_keys(history: History) -> pa.Table:
    """Every entity that the history names, once and in order; nothing else of the table is kept in memory.

    Without join keys there is one entity, and a column that says nothing.
    """
    if not history.keys:
        return pa.table({_ONE_ROW: [0]})
    stored = StoredRows(history, ())
    keys = pl.DataFrame(pl.from_arrow(stored.schema.empty_table().select(history.keys)))
    for batch in stored.batches():
        found = pl.DataFrame(pl.from_arrow(batch.select(history.keys)))
        keys = pl.concat([keys, found.drop_nulls()]).unique()
    return keys.sort(history.keys).to_arrow().cast(pa.schema([stored.schema.field(name) for name in history.keys]))


@dataclass(frozen=True)
class HistorySide:
    """What a history says of some entities at one instant."""

    rows: pa.Table
    """Keys, features and stamps, row for row; without a row of history the features are null."""
    event_timestamp: list[int]
    known_at: list[int]
    """Microseconds; what they are without a row, has no meaning."""
    has_row: list[bool]
    is_valid: list[bool]

    def part(self, view: ViewPlan, places: slice) -> Offline:
        """The rows at `places` as Python values. Raises InvalidDataError for a column that does not fit the view."""
        rows = self.rows.slice(places.start, places.stop - places.start)
        columns = [_values(rows[feature.name], feature) for feature in view.features]
        stamps = map(Stamps, self.event_timestamp[places], self.known_at[places])
        return Offline(
            values=list(zip(*columns, strict=True)) if columns else [()] * rows.num_rows,
            stamps=[stamp if has else None for stamp, has in zip(stamps, self.has_row[places], strict=True)],
            is_valid=self.is_valid[places],
        )

    def records(self, view: ViewPlan, first: int, places: Sequence[int]) -> list[bytes | None]:
        """What Redis should hold at `places`, counted from `first`; None where history has no row."""
        wanted = [first + place for place in places]
        packed = packed_records(Layout(view), typed_rows(view, self.rows.take(pa.array(wanted, pa.int64()))))
        return [record if self.has_row[row] else None for record, row in zip(packed.to_pylist(), wanted, strict=True)]


def history_side(history: History, keys: pa.Table, *, instant: datetime) -> HistorySide:
    """The latest rows of the entities `keys` at `instant` (UTC). The table is read in batches.

    Raises what reading it raises.
    """
    return history_side_at(history, keys, pa.repeat(pa.scalar(instant, INSTANT), keys.num_rows))


def history_side_at(history: History, keys: pa.Table, at: pa.Array) -> HistorySide:
    """As `history_side`, each entity at the instant `at` of its row; an entity may occur many times."""
    # A row past its ttl is asked for too: it tells the cause of a difference, and what belongs into Redis.
    ageless = replace(history, ttl=None)
    stored = StoredRows(ageless, history.features)
    asked = Asked(keys.append_column(_AT, at), stored.schema, ageless, at=_AT)
    held = asked.nothing_held()
    for batch in stored.batches(conditions(asked)):
        held.take(asked.located(batch))
    answering = asked.answering(held)
    has_row = answering != NONE
    event = np.where(has_row, held.event_timestamp[answering], 0)
    known = np.where(has_row, held.known_at[answering], 0)
    stamps = {EVENT_TIMESTAMP: pa.array(event).cast(INSTANT), KNOWN_AT: pa.array(known).cast(INSTANT)}
    features = held.features(answering)
    columns = {name: keys[name] for name in history.keys} | dict(
        zip(features.column_names, features.columns, strict=True)
    )
    return HistorySide(
        pa.table(columns | stamps),
        event.tolist(),
        known.tolist(),
        has_row.tolist(),
        (asked.answering(held, history.ttl) != NONE).tolist(),
    )


def _values(column: pa.ChunkedArray, feature: Feature) -> list[Any]:
    """As the reader returns them."""
    fitting = fitted(column, feature)
    if feature.dtype not in MAPS:
        return list(fitting.to_pylist())
    # Maps have no one type in Arrow; what they are in Python, their cells tell.
    decode = cell_decoder(feature.dtype)
    return [None if cell is None else decode(cell) for cell in packed_cells(fitting, feature).to_pylist()]
