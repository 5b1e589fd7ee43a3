"""The proof: what Redis holds against what history says, a bounded number of entities at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from larder.contracts.clock import Clock, microseconds
from larder.offline.history import History
from larder.offline.retrieval.reading import pinned
from larder.online.contents import redis_keys, stored_records
from larder.online.position import Position, read_position
from larder.online.writing.writer import FUTURE_TOLERANCE
from larder.verify.causes import Circumstances
from larder.verify.compare import Part, compared_part
from larder.verify.history_side import history_side
from larder.verify.views import VerifiedView

if TYPE_CHECKING:
    import redis

ENTITIES_AT_ONCE = 250_000
"""For so many the table is read once; what is kept of each is one row and one record."""

ENTITIES_PER_PART = 20_000
"""So many are Python values at a time."""


@dataclass(frozen=True)
class Checked:
    """A part, and what is needed to repair it."""

    part: Part
    keys: Sequence[bytes]
    stored: Sequence[bytes | None]
    records_at: Callable[[Sequence[int]], Sequence[bytes | None]]
    """What Redis should hold at some places of the part; None: nothing."""


def checked_entities(
    view: VerifiedView, client: "redis.Redis", entities: pa.Table, *, clock: Clock
) -> Iterator[Checked]:
    """The rows of `entities` compared, in their order; columns are the view's join keys.

    Redis is read before the table, and the clock in between: whatever a writer that runs meanwhile brought to
    Redis is in the table by then, so only what Redis is to receive yet can look different because of it.
    """
    for start in range(0, entities.num_rows, ENTITIES_AT_ONCE):
        chunk = entities.slice(start, ENTITIES_AT_ONCE)
        position = read_position(client, view.project, view.name)
        keys = redis_keys(view.plan, view.project, chunk)
        stored = stored_records(client, keys)
        instant, history = clock(), pinned(view.history)
        side = history_side(history, chunk, instant=instant)
        at = _circumstances(history, position, instant)
        for first in range(0, chunk.num_rows, ENTITIES_PER_PART):
            places = slice(first, min(first + ENTITIES_PER_PART, chunk.num_rows))
            part = compared_part(stored[places], side.part(view.plan, places), view.plan, at)
            yield Checked(part, keys[places], stored[places], partial(side.records, view.plan, first))


def _circumstances(history: History, position: Position | None, instant: datetime) -> Circumstances:
    has_moved = position is not None and (
        history.version is None or history.table != position.table or history.version > position.version
    )
    return Circumstances(
        instant=microseconds(instant),
        reached=None if position is None else microseconds(position.instant),
        has_table_moved=has_moved,
        is_seen_when_known=history.cutoff,
        tolerance=FUTURE_TOLERANCE // timedelta(microseconds=1),
    )
