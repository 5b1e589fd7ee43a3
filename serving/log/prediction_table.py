"""The prediction log as it is filled from spools: with each row once, whoever is killed in between."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from serving.log.prediction_log import Description, Entry, append, rows_that_fit
from serving.log.spool import Record

_ENTRY = msgspec.msgpack.Decoder(Entry)


class PredictionTable:
    """The Delta table at `place`, made by the first write.

    A commit names the spool, the columns and the last row that it brings (an application transaction of Delta), so
    that the table itself says what it has.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._table: Any = None

    def store(self, spool: str, records: Sequence[Record]) -> int:
        """Append those of the spool's records that the table lacks; gives the rows that fit into no column.

        Raises what deltalake raises when the table cannot be written, and msgspec.MsgspecError for records of another
        release. Then some of the records may be stored: call it again with the same ones.
        """
        lost = 0
        by_columns: dict[str, list[Record]] = {}
        for record in records:
            by_columns.setdefault(_columns_key(record.about), []).append(record)
        try:
            for columns, same in by_columns.items():
                lost += self._append_missing(f"larder.serving/{spool}/{columns}", same)
        except Exception:
            self._table = None  # to be asked anew: the commit may have come through, or another one before it
            raise
        return lost

    def _append_missing(self, application: str, records: Sequence[Record]) -> int:
        import pyarrow as pa
        from deltalake import CommitProperties, Transaction

        stored = self._stored_rows(application)
        entries: dict[bytes, list[Entry]] = {}
        for record in records:
            if record.end > stored:
                entries.setdefault(record.about, []).append(_ENTRY.decode(record.payload))
        answered = sum(len(entry.requests) for same in entries.values() for entry in same)
        schema = None if self._table is None else pa.schema(self._table.schema().to_arrow())
        tables = [rows for about, same in entries.items() for rows in rows_that_fit(_described(about), same, schema)]
        if tables:
            rows = pa.concat_tables(tables)
            done = CommitProperties(app_transactions=[Transaction(application, records[-1].end)])
            append(self._place if self._table is None else self._table, rows, commit_properties=done)
            return answered - int(rows.num_rows)
        return answered

    def _stored_rows(self, application: str) -> int:
        """Up to which of the spool's rows the table has all with these columns."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            if self._table is None:
                self._table = DeltaTable(self._place)
            else:
                self._table.update_incremental()
        except TableNotFoundError:
            return 0
        return self._table.transaction_version(application) or 0


@lru_cache
def _described(about: bytes) -> Description:
    return msgspec.msgpack.decode(about, type=Description)


@lru_cache
def _columns_key(about: bytes) -> str:
    """The same for descriptions whose rows have the same Arrow schema."""
    described = _described(about)
    return hashlib.sha256(msgspec.json.encode([described.task, described.request, described.features])).hexdigest()[:16]
