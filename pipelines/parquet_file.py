"""Parquet files to CSV: bronze keeps raw rows as text, whatever they came as."""

import base64
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.csv import CSVWriter, WriteOptions

from larder.contracts.ingestion import RawTable
from pipelines.csv_file import Contents, check_names


def parquet_to_csv(path: Path, table: RawTable, target: Path) -> Contents:
    """Write the file's rows to `target`, in their order.

    Numbers, booleans and dates have the forms that a declared type has in CSV. An instant is in UTC, with microseconds;
    a time without a zone stays without an offset. Lists, structs and maps are JSON, bytes are base64.
    Raises InvalidDataError, MissingColumnsError, or Arrow's error for a file that cannot be decoded.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        check_names(
            names, [column.name for column in table.columns], where="its schema has", remedy="Write the file with them"
        )
        schema = pa.schema([(name, pa.string()) for name in names])
        options = WriteOptions(delimiter=table.separator)
        with CSVWriter(target, schema, write_options=options) as writer:
            for batch in file.iter_batches():
                writer.write_batch(pa.record_batch([_texts(column) for column in batch.columns], schema=schema))
        return Contents(tuple(names), file.metadata.num_rows > 0)


def _texts(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        utc = column.cast(pa.timestamp("us", kind.tz and "UTC"), safe=False)  # finer parts are cut off
        return utc.cast(pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else json.dumps(value, default=str) for value in column.to_pylist()])
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()])
    return pc.cast(column, pa.string())
