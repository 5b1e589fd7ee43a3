"""Values in Redis that the history had and has no longer: found among the rows of removed files, and taken back.

What others wrote to Redis, as `store.push` does, is in no removed file and stays.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import compress

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.history import History
from larder.online.packed.record import HEADER
from larder.online.writing.swap import replace_if_same
from larder.push.changes import Files
from larder.push.latest import batches_of_keys, latest_of, stamped_rows, stored_batches
from larder.push.write import Online, parts_of

_KEY, _RECORD = "@key", "@record"
_INSTANTS = slice(HEADER.size - 16, HEADER.size)


def take_back(
    online: Online, history: History, removed: Mapping[int, Files], came: pa.Table | None, instant: datetime
) -> tuple[int, int]:
    """Put each entity's latest row in the place of a record that is gone; how many were replaced, how many deleted.

    `came` has the latest rows of the files that came, which are in Redis by now. Reads the removed files, and the
    older rows of the entities concerned. A record that another writer changes meanwhile stays. Raises
    MissingTableError when VACUUM came first.
    """
    if not removed:
        return 0, 0
    latest = {} if came is None else online.packed(came)
    found = [part for version, files in removed.items() for part in _gone(online, history, version, files, latest)]
    if not found:
        return 0, 0
    gone = pl.DataFrame(pl.from_arrow(pa.concat_tables(found))).unique(_KEY, maintain_order=True).to_arrow()
    rows = latest_of(batches_of_keys(history, gone, instant), history, instant)
    left = {} if rows is None else online.packed(rows)
    old = dict(zip(gone[_KEY].to_pylist(), gone[_RECORD].to_pylist(), strict=True))
    older, nothing = [key for key in old if key in left], [key for key in old if key not in left]
    replaced = replace_if_same(online.client, older, [old[key] for key in older], [left[key] for key in older])
    deleted = replace_if_same(online.client, nothing, [old[key] for key in nothing], [None] * len(nothing))
    return replaced, deleted


def _gone(
    online: Online, history: History, version: int, files: Files, latest: Mapping[bytes, bytes]
) -> Iterator[pa.Table]:
    """Join keys, Redis key and record of the rows of removed files that Redis holds and no file that came does."""
    for batch in stored_batches(replace(history, version=version), list(files)):
        for rows in parts_of(_storable(stamped_rows(batch, history), history)):
            # Few rows have the instants of the stored record; only these are packed, and a row that does not fit
            # into a record is none of them.
            keys, heads = zip(*_without_features(online).entries(rows), strict=True)
            records = online.stored(keys)
            is_alike = [
                old is not None and old[_INSTANTS] == new[_INSTANTS] and latest.get(key) != old
                for key, new, old in zip(keys, heads, records, strict=True)
            ]
            if any(is_alike):
                yield _same(online, history, rows.filter(pa.array(is_alike)), list(compress(records, is_alike)))


def _same(online: Online, history: History, rows: pa.Table, stored: list[bytes | None]) -> pa.Table:
    """Those of the rows that are, byte for byte, what is stored."""
    keys, records = zip(*online.entries(rows), strict=True)
    columns = {name: rows[name] for name in history.keys} | {_KEY: pa.array(keys), _RECORD: pa.array(records)}
    return pa.table(columns).filter(pa.array(new == old for new, old in zip(records, stored, strict=True)))


def _without_features(online: Online) -> Online:
    return replace(online, plan=msgspec.structs.replace(online.plan, features=()))


def _storable(rows: pa.Table, history: History) -> pa.Table:
    for name in (*history.keys, EVENT_TIMESTAMP):
        rows = rows.filter(pc.is_valid(rows[name]))
    return rows
