"""A table's files dealt out to tasks. A task that reads its files itself spares Spark the way from rows to Arrow,
which costs ten times more than the reading.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from larder.contracts.errors import UnsupportedError
from larder.offline.history import History
from larder.offline.retrieval.conditions import Between
from larder.offline.tables.arrow_files import among, delta_dataset, file_batches
from larder.offline.tables.delta_table import open_table, scanning
from larder.offline.tables.integrity import check_files, data_files
from larder.offline.tables.opening import open_history, utc_batches
from larder.offline.tables.parquet import ParquetFiles


def file_shares(history: History, where: Iterable[Between], count: int) -> list[list[str]] | None:
    """At most `count` shares of about the same size, of the files that may hold rows for the conditions `where`.

    None where files do not say it all: a table with deletion vectors or column mapping needs an engine to read it.
    """
    sizes = file_sizes(history, where)
    return None if sizes is None else dealt(sizes, count)


def file_sizes(history: History, where: Iterable[Between] = ()) -> dict[str, int] | None:
    """Bytes by path of the files that may hold rows for the conditions `where`; None as for `file_shares`."""
    if history.format == "parquet":
        return ParquetFiles(history.table, history.storage_options, history.types).sizes()
    table = open_table(history.table, history.version, options=history.storage_options)
    check_files(table)
    # Statistics of times without a zone say nothing about instants.
    conditions = [] if history.naive_is_utc else [bounds.sql() for bounds in where]
    try:
        dataset = delta_dataset(table, " AND ".join(conditions) or None)
    except UnsupportedError:
        return None
    sizes = data_files(table)
    return {fragment.path: sizes[fragment.path] for fragment in dataset.get_fragments()}


def share_batches(history: History, columns: Sequence[str], paths: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of some files of the table."""
    if history.naive_is_utc:
        schema = open_history(history).schema
        wanted = pa.schema([schema.field(name) for name in columns])
        yield from utc_batches(_share(history, columns, paths), wanted)
    else:
        yield from _share(history, columns, paths)


def _share(history: History, columns: Sequence[str], paths: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if history.format == "parquet":
        yield from ParquetFiles(history.table, history.storage_options, history.types).among(paths).batches(columns)
        return
    table = open_table(history.table, history.version, options=history.storage_options)
    with scanning(table):
        yield from file_batches(among(delta_dataset(table), paths), columns)


def dealt(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """Files in at most `count` shares. The largest first, each to whoever has least."""
    shares: list[list[str]] = [[] for _ in range(min(count, len(sizes)))]
    least = [(0, number) for number in range(len(shares))]
    for path, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        load, number = heapq.heappop(least)
        shares[number].append(path)
        heapq.heappush(least, (load + size, number))
    return shares


def stored_bytes(history: History) -> int:
    """Of the table's files, compressed as they are."""
    if history.format == "parquet":
        return sum(ParquetFiles(history.table, history.storage_options, history.types).sizes().values())
    return sum(data_files(open_table(history.table, history.version, options=history.storage_options)).values())
