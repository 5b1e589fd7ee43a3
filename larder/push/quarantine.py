"""Rows that no entity can be served from: they are kept beside the lake's other refused rows, with the reason."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.offline.history import History
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.delta_writing import append_rows, is_table
from larder.offline.tables.kinds import INSTANT, is_bytes, is_list
from larder.online.writing.writer import FUTURE_TOLERANCE

FUTURE, NULL_KEY = "future-dated", "no key"
SCHEMA = pa.schema(
    [
        ("reason", pa.string()),
        ("record", pa.string()),
        ("source", pa.string()),
        ("source_version", pa.int64()),
        ("quarantined_at", INSTANT),
    ]
)


@dataclass
class Refused:
    """Rows set aside while a history comes by; `now` is the present instant, UTC."""

    history: History
    now: datetime
    _found: list[pa.Table] = field(default_factory=list)

    def noting(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same batches; their refused rows are remembered."""
        for batch in batches:
            self._note(batch)
            yield batch

    @property
    def rows(self) -> pa.Table:
        """`reason` and `record` (the row as JSON), each different one once."""
        return distinct(self._found)

    def _note(self, batch: pa.Table) -> None:
        for reason, mask in _masks(batch, self.history, self.now):
            if pc.any(mask).as_py():
                records = _records(batch.filter(mask))
                self._found.append(pa.table({"reason": [reason] * len(records), "record": records}, schema=_REASONED))


_REASONED = pa.schema([SCHEMA.field("reason"), SCHEMA.field("record")])


def distinct(found: Sequence[pa.Table]) -> pa.Table:
    """Refused rows from several places, each different one once."""
    return pa.concat_tables([_REASONED.empty_table(), *found]).group_by(_REASONED.names).aggregate([])


def keep_refused(place: str, rows: pa.Table, history: History, now: datetime) -> Mapping[str, int]:
    """Append to the Delta table at `place` what it does not hold yet; how many rows, by reason.

    So a repeated push, and a full one, adds nothing.
    """
    if not rows.num_rows:
        return {}
    new = rows
    if is_table(place, {}):
        held = open_table(place).to_pyarrow_table(columns=_REASONED.names)
        new = rows.join(held.cast(_REASONED), _REASONED.names, join_type="left anti")
    if new.num_rows:
        more = {"source": history.table, "source_version": history.version, "quarantined_at": now}
        columns = [new["reason"], new["record"]]
        columns += [pa.array([value] * new.num_rows, SCHEMA.field(name).type) for name, value in more.items()]
        append_rows(place, pa.table(columns, schema=SCHEMA))
    counts = new["reason"].value_counts().to_pylist()
    return {count["values"]: count["counts"] for count in counts}


def _masks(batch: pa.Table, history: History, now: datetime) -> Iterator[tuple[str, pa.ChunkedArray]]:
    is_future = pc.greater(batch[history.event_timestamp], pa.scalar(now + FUTURE_TOLERANCE, INSTANT))
    yield FUTURE, is_future.fill_null(False)
    for key in history.keys:
        yield NULL_KEY, batch[key].is_null()


def _records(rows: pa.Table) -> pa.ChunkedArray:
    """Each row as one JSON object; bytes as hexadecimal digits, instants as text in UTC."""
    frame = pl.DataFrame(pl.from_arrow(pa.table({name: _spelled(rows[name]) for name in rows.column_names})))
    readable = frame.with_columns(pl.col(pl.Binary).bin.encode("hex"), pl.col(pl.Datetime).dt.to_string("iso:strict"))
    json = readable.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    return pa.chunked_array([json.to_arrow().cast(pa.string())])


def _spelled(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Bytes inside lists, maps and structs as text, which polars does not write as JSON."""
    spelled = _spelled_type(values.type)
    if spelled == values.type or not pa.types.is_nested(values.type):
        return values
    return pa.chunked_array([pa.array(map(_spelled_value, values.to_pylist()), spelled)])


def _spelled_type(dtype: pa.DataType) -> pa.DataType:
    if is_bytes(dtype):
        return pa.string()
    if pa.types.is_map(dtype):
        return pa.map_(_spelled_type(dtype.key_type), _spelled_type(dtype.item_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(part.name, _spelled_type(part.type)) for part in dtype])
    return pa.list_(_spelled_type(dtype.value_type)) if is_list(dtype) else dtype


def _spelled_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _spelled_value(part) for name, part in value.items()}
    # A map's entry is a pair.
    return type(value)(map(_spelled_value, value)) if isinstance(value, list | tuple) else value
