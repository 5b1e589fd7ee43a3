"""The latest rows of a history into Redis: forward only, or to exactly what the history says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import redis

from larder.contracts.errors import OnlineStoreError
from larder.contracts.plan import ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import History
from larder.online.contents import read_view, stored_keys, stored_records
from larder.online.packed.columns import decoded_columns
from larder.online.packed.keys import view_prefix
from larder.online.packed.packing import packed_keys, packed_records, typed_rows
from larder.online.packed.record import HEADER, Layout
from larder.online.server.connection import client_address
from larder.online.writing.compare_and_set import Records, write_newest
from larder.online.writing.scripts import KEYS_PER_SCRIPT
from larder.online.writing.swap import replace_if_same
from larder.online.writing.writer import ROWS_PER_PIPELINE, write_records
from larder.push.latest import latest_stamped
from larder.push.plan import PushPlan

ATTEMPTS = 100
"""How often one entity is tried whose record other writers change all the time."""


@dataclass(frozen=True)
class Online:
    """Where one view's values are in Redis."""

    client: redis.Redis
    project: str
    plan: ViewPlan

    def packed(self, rows: pa.Table) -> dict[bytes, bytes]:
        """Records by Redis key, the last one of each."""
        return dict(self.entries(rows))

    def entries(self, rows: pa.Table) -> list[tuple[bytes, bytes]]:
        """Redis key and record of each row."""
        typed = typed_rows(self.plan, rows)
        prefix = view_prefix(self.project, self.plan.name)
        return list(Records(packed_keys(prefix, self.plan, typed), packed_records(Layout(self.plan), typed)).items())

    def stored(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return stored_records(self.client, keys)


def record_keys(view: ViewPlan, project: str, rows: pa.Table) -> list[bytes]:
    """The Redis key of each row."""
    columns = [*(key.name for key in view.join_keys), EVENT_TIMESTAMP, KNOWN_AT]
    typed = typed_rows(msgspec.structs.replace(view, features=()), rows.select(columns))
    keys: list[bytes] = packed_keys(view_prefix(project, view.name), view, typed).to_pylist()
    return keys


def write_latest(online: Online, plan: PushPlan, rows: pa.Table) -> int:
    """Each entity's latest row into Redis as the plan needs it; how many entities were written."""
    if plan.is_correcting:
        return write_exactly(online, rows)
    if plan.why_full:
        return write_records(online.client, online.plan, online.project, rows).written
    return write_newer(online, rows)


def write_newer(online: Online, rows: pa.Table) -> int:
    """Let each row, one per entity, replace an earlier one; how many did, or were there already.

    Of two rows with equal instants the one with the greater content stays, as in a history that holds both.
    """
    written = 0
    for part in parts_of(rows):
        records = online.packed(part)
        tied = [
            stored is not None and stored[: HEADER.size] == new[: HEADER.size]
            for new, stored in zip(records.values(), online.stored(list(records)), strict=True)
        ]
        counts = write_records(online.client, online.plan, online.project, part.filter(pc.invert(pa.array(tied))))
        written += counts.written + _settle(online, part.filter(pa.array(tied)))
    return written


def write_exactly(online: Online, rows: pa.Table) -> int:
    """Make each row, one per entity, its entity's record, even where a later one is stored; how many had another."""
    written = 0
    for part in parts_of(rows):
        records = online.packed(part)
        stored = online.stored(list(records))
        others = {key: old for key, old in zip(records, stored, strict=True) if old != records[key]}
        new = {key: records[key] for key in others}
        # Forward first: what another writer stores meanwhile, and is earlier, must not stay.
        write_newest(online.client, Records.of(new))
        replace_if_same(online.client, list(new), list(others.values()), list(new.values()))
        written += len(others)
    return written


def remove_others(online: Online, keys: set[bytes]) -> int:
    """Delete the view's records under other keys than `keys`, unless they change meanwhile; how many were deleted."""
    strays = [key for key in stored_keys(online.client, online.project, online.plan.name) if key not in keys]
    return remove_records(online, strays)


def remove_records(online: Online, keys: Sequence[bytes]) -> int:
    """Delete these records unless they change meanwhile; how many were deleted."""
    removed = 0
    for start in range(0, len(keys), KEYS_PER_SCRIPT):
        part = keys[start : start + KEYS_PER_SCRIPT]
        removed += replace_if_same(online.client, part, online.stored(part), [None] * len(part))
    return removed


def parts_of(rows: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, ROWS_PER_PIPELINE):
        yield rows.slice(start, ROWS_PER_PIPELINE)


def _settle(online: Online, rows: pa.Table) -> int:
    """Decide between rows and records with the same instants by their content."""
    settled: int = rows.num_rows
    for _ in range(ATTEMPTS):
        if not rows.num_rows:
            return settled
        rows = _unsettled(online, rows)
    raise OnlineStoreError(
        f"Redis at {client_address(online.client)} changed a record of view {online.plan.name!r} {ATTEMPTS} times "
        "while it was to be written. Write with fewer processes at once."
    )


def _unsettled(online: Online, rows: pa.Table) -> pa.Table:
    """Try once; the rows whose record was changed by another writer meanwhile."""
    candidates = online.packed(rows)
    keys = list(candidates)
    stored = online.stored(keys)
    winners = online.packed(_winners(online, rows))
    is_open = [
        old != winners[key] and not replace_if_same(online.client, [key], [old], [winners[key]])
        for key, old in zip(keys, stored, strict=True)
    ]
    return rows.filter(pa.array(is_open, pa.bool_()))


def _winners(online: Online, rows: pa.Table) -> pa.Table:
    plan = online.plan
    names = [key.name for key in plan.join_keys]
    typed = typed_rows(plan, rows)
    stored = read_view(online.client, plan, online.project, typed.select(names))
    stored = stored.filter(stored[EVENT_TIMESTAMP].is_valid())
    # Typed rows hold texts and lists as bytes; both sides have to be in the types of the offline join.
    layout = Layout(plan)
    decoded = decoded_columns(layout, packed_records(layout, typed).to_pylist())
    given = pa.table({name: typed[name] for name in names} | decoded)
    features = tuple(feature.name for feature in plan.features)
    both = History("", tuple(names), features, EVENT_TIMESTAMP, KNOWN_AT)
    tables = [table.select([*names, *features, EVENT_TIMESTAMP, KNOWN_AT]) for table in (given, stored)]
    last = max(pc.max(table[EVENT_TIMESTAMP]).as_py() for table in tables if table.num_rows)
    return latest_stamped(tables, both, last)
