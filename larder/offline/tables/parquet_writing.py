"""Rows into Parquet files: appended to them, or in their place."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from larder.contracts.errors import ConfigurationError
from larder.offline.tables.parquet import filesystem_of, parquet_paths


def append_parquet(uri: str, rows: pa.Table, options: Mapping[str, str]) -> None:
    """Add rows to a folder as one more file, to a file by putting a longer one in its place.

    Two writers of one file at the same time lose rows of one of them: Parquet has no commits. A folder has no such
    problem.
    """
    filesystem, path = filesystem_of(uri, options)
    if filesystem.get_file_info(path).type != pafs.FileType.Directory:
        before = pq.read_table(path, filesystem=filesystem)
        _write_file(filesystem, path, pa.concat_tables([before, rows.cast(before.schema)]))
    elif any("=" in part for file in parquet_paths(filesystem, path) for part in Path(file).parts[:-1]):
        raise ConfigurationError(
            f"{uri} is a folder with partitions, to which rows cannot be added one by one. Write them with the program "
            "that partitions it, or make it a Delta table."
        )
    else:
        add_parquet(uri, rows, options)


def add_parquet(uri: str, rows: pa.Table, options: Mapping[str, str], *, partition_by: Sequence[str] = ()) -> None:
    """Put rows into a folder, which is made if there is none, as new files: one per partition, named as Hive does."""
    filesystem, path = filesystem_of(uri, options)
    if not partition_by:
        filesystem.create_dir(path, recursive=True)
        _write_file(filesystem, f"{path}/{uuid4().hex}.parquet", rows)
        return
    ds.write_dataset(
        rows,
        path,
        filesystem=filesystem,
        format="parquet",
        partitioning=list(partition_by),
        partitioning_flavor="hive",
        basename_template=f"{uuid4().hex}-{{i}}.parquet",
        existing_data_behavior="overwrite_or_ignore",
    )


def replace_parquet(uri: str, rows: pa.RecordBatchReader, options: Mapping[str, str]) -> None:
    """Make `rows` all that is stored at `uri`: one file when its name ends with .parquet, else a folder of files."""
    filesystem, path = filesystem_of(uri, options)
    if path.endswith(".parquet"):
        _write_file(filesystem, path, rows)
        return
    filesystem.create_dir(path, recursive=True)
    before = parquet_paths(filesystem, path)
    _write_file(filesystem, f"{path}/{uuid4().hex}.parquet", rows)
    for file in before:
        filesystem.delete_file(f"{path}/{file}")


def is_there(uri: str, options: Mapping[str, str]) -> bool:
    """Whether a file, or a folder with Parquet files, is at `uri`."""
    filesystem, path = filesystem_of(uri, options)
    place = filesystem.get_file_info(path)
    if place.type == pafs.FileType.Directory:
        return bool(parquet_paths(filesystem, path))
    return bool(place.type != pafs.FileType.NotFound)


def _write_file(filesystem: pafs.FileSystem, path: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    """The whole file or none: an object store shows it once it is complete, a disk once it has its name."""
    is_local = isinstance(filesystem, pafs.LocalFileSystem)
    target = str(Path(path).with_name(f".{Path(path).name}.{uuid4().hex}")) if is_local else path
    try:
        with pq.ParquetWriter(target, rows.schema, filesystem=filesystem) as writer:
            for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
                writer.write_batch(batch)
    except BaseException:
        if filesystem.get_file_info(target).type == pafs.FileType.File:
            filesystem.delete_file(target)
        raise
    if is_local:
        os.replace(target, path)
