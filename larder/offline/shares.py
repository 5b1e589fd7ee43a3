"""A table's files dealt out to tasks. A task that reads its files itself spares Spark the way from rows to Arrow,
which costs ten times more than the reading.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaProtocolError
from pyarrow.dataset import ParquetReadOptions

from larder.offline.history import History
from larder.offline.integrity import check_files
from larder.offline.tables import open_table, scanning


def file_shares(history: History, where: Iterable[str], count: int) -> list[list[str]] | None:
    """At most `count` shares of about the same size, of the files that may hold rows for the SQL conditions `where`.

    None where files do not say it all: a table with deletion vectors or column mapping needs an engine to read it.
    """
    table = open_table(history.table, history.version)
    check_files(table)
    try:
        dataset = _dataset(table, " AND ".join(where) or None)
    except DeltaProtocolError:
        return None
    added = pa.table(table.get_add_actions())
    sizes = dict(zip(added["path"].to_pylist(), added["size_bytes"].to_pylist(), strict=True))
    return _dealt({fragment.path: sizes[fragment.path] for fragment in dataset.get_fragments()}, count)


def share_batches(history: History, columns: Sequence[str], paths: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of some files of the table."""
    table = open_table(history.table, history.version)
    dataset = _dataset(table, None)
    own = set(paths)
    fragments = [fragment for fragment in dataset.get_fragments() if fragment.path in own]
    part = ds.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)
    # Spark writes a checksum into each page; files without any are read as they are.
    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    with scanning(table):
        yield from part.scanner(columns=list(columns), fragment_scan_options=checked).to_batches()


def _dataset(table: DeltaTable, predicate: str | None) -> ds.FileSystemDataset:
    # Older Sparks wrote times as INT96, which means nanoseconds to Arrow unless told otherwise.
    options = ParquetReadOptions(coerce_int96_timestamp_unit="us")
    return table.to_pyarrow_dataset(file_pruning_predicate=predicate, parquet_read_options=options)


def _dealt(sizes: dict[str, int], count: int) -> list[list[str]]:
    """The largest first, each to whoever has least."""
    shares: list[list[str]] = [[] for _ in range(min(count, len(sizes)))]
    least = [(0, number) for number in range(len(shares))]
    for path, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        load, number = heapq.heappop(least)
        shares[number].append(path)
        heapq.heappush(least, (load + size, number))
    return shares


def stored_bytes(history: History) -> int:
    """Of the table's files, compressed as they are."""
    added = pa.table(open_table(history.table, history.version).get_add_actions())
    return sum(added["size_bytes"].to_pylist())
