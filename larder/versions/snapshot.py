"""A Delta table at one version: what `larder data` writes down and compares. Reads logs, never data."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from larder.contracts.errors import ConfigurationError
from larder.versions.commits import Commit
from larder.versions.lock_file import PinnedTable


@dataclass(frozen=True)
class ColumnStatistics:
    """Of one column over all rows, from the log; None where the log does not tell."""

    nulls: int | None
    smallest: Any
    largest: Any


def table_names(lake: str) -> list[str]:
    """Every Delta table of a local lake, relative to it. Raises ConfigurationError for an object store."""
    if "://" in lake:
        raise ConfigurationError(
            f"The tables of {lake} cannot be listed; only a lake in a folder can. Name the tables, relative to the "
            "lake or by their URI."
        )
    return sorted(_names_below(Path(lake)))


def snapshot(table: DeltaTable, log: Sequence[Commit]) -> PinnedTable:
    """What a pin keeps of the opened version; `log` are the table's commits."""
    files = _files(table)
    return PinnedTable(
        version=table.version(),
        bytes=pc.sum(files["size_bytes"]).as_py() or 0,
        schema=schema_fingerprint(table),
        committed_at=_committed_at(table, log),
        table_id=str(table.metadata().id),
        rows=row_count(table),
    )


def row_count(table: DeltaTable) -> int | None:
    """Rows of the opened version, from its log; None where the log does not count them."""
    files = _files(table)
    # Rows marked as deleted inside a file are still in the file's count.
    if files["num_records"].null_count or any(batch.num_rows for batch in table.deletion_vectors()):
        return None
    return pc.sum(files["num_records"]).as_py() or 0


def row_counts(table: DeltaTable) -> dict[str, int]:
    """Rows by data file, as far as the log counts them."""
    files = _files(table)
    counts = zip(files["path"].to_pylist(), files["num_records"].to_pylist(), strict=True)
    return {path: rows or 0 for path, rows in counts}


def columns(table: DeltaTable) -> dict[str, str]:
    """Type by column, in Delta's words; `not null` where a column must not be."""
    fields = json.loads(table.schema().to_json())["fields"]
    return {field["name"]: _words(field["type"]) + ("" if field["nullable"] else " not null") for field in fields}


def schema_fingerprint(table: DeltaTable) -> str:
    """16 hexadecimal digits over column names, types and nullability, in their order; comments do not count."""
    return hashlib.sha256(json.dumps(list(columns(table).items())).encode()).hexdigest()[:16]


def column_statistics(table: DeltaTable) -> dict[str, ColumnStatistics]:
    """By top-level column; Delta keeps them for the first columns of a table, texts cut short."""
    files = _files(table)
    return {name: _statistics(files, name) for name in columns(table)}


def _statistics(files: pa.Table, name: str) -> ColumnStatistics:
    def known(kind: str) -> pa.ChunkedArray | None:
        """The statistic of every file; None unless all have it."""
        found = files[f"{kind}.{name}"] if f"{kind}.{name}" in files.column_names else None
        return None if found is None or pa.types.is_nested(found.type) else found

    nulls, smallest, largest = known("null_count"), known("min"), known("max")
    return ColumnStatistics(
        None if nulls is None or nulls.null_count else pc.sum(nulls).as_py(),
        None if smallest is None else pc.min(smallest).as_py(),
        None if largest is None else pc.max(largest).as_py(),
    )


def _files(table: DeltaTable) -> pa.Table:
    return pa.table(table.get_add_actions(flatten=True))


def _committed_at(table: DeltaTable, log: Sequence[Commit]) -> datetime:
    # A version older than the log, which only a checkpoint still knows, is no later than the log's first.
    return next((commit.committed_at for commit in log if commit.version >= table.version()), log[-1].committed_at)


def _words(dtype: Any) -> str:
    """Delta's JSON of a type, nested ones without what does not matter."""
    if isinstance(dtype, str):
        return dtype
    if dtype["type"] == "array":
        return f"array<{_words(dtype['elementType'])}>"
    if dtype["type"] == "map":
        return f"map<{_words(dtype['keyType'])}, {_words(dtype['valueType'])}>"
    fields = ", ".join(f"{field['name']}: {_words(field['type'])}" for field in dtype["fields"])
    return f"struct<{fields}>"


def _names_below(lake: Path) -> Iterator[str]:
    for folder, below, _ in os.walk(lake):
        if "_delta_log" in below:
            yield Path(folder).relative_to(lake).as_posix()
            below.clear()
