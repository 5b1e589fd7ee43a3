"""Parquet files, read as one table."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from larder.contracts.errors import InvalidDataError, MissingColumnsError, MissingTableError
from larder.offline.retrieval.conditions import Between
from larder.offline.tables.arrow_files import among, file_batches


class ParquetFiles:
    """One Parquet file, or a folder of them with partitions as Hive names them; a name with . or _ in front hides."""

    def __init__(
        self, uri: str, options: Mapping[str, str], types: Mapping[str, pa.DataType] = MappingProxyType({})
    ) -> None:
        """`types` says what the values of partitions are; Arrow guesses the others from how they look.

        Raises MissingTableError when there is no file, InvalidDataError when their schemas do not go together or a
        partition's value is not of its type.
        """
        self._uri = uri
        filesystem, path = filesystem_of(uri, options)
        place = filesystem.get_file_info(path)
        is_folder = place.type == pafs.FileType.Directory
        found = [f"{path}/{file}" for file in parquet_paths(filesystem, path)] if is_folder else [path]
        if place.type == pafs.FileType.NotFound or not found:
            raise MissingTableError(
                f"There is no Parquet file at {uri}. Write it first, or correct the path of its FileSource; relative "
                "paths start at feature_store.yaml."
            )
        try:
            schema, factory = _discovered(filesystem, found, path, ds.HivePartitioning.discover())
            if partitions := _declared_partitions(found, path, schema, types):
                schema, factory = _discovered(filesystem, found, path, ds.HivePartitioning(partitions))
            self._dataset = factory.finish(schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as problem:
            raise InvalidDataError(
                f"The Parquet files at {uri} cannot be read as one table: {str(problem).rstrip('.')}. "
                "Remove or rewrite the file at fault."
            ) from problem
        self.schema: pa.Schema = self._dataset.schema

    def check_columns(self, wanted: Collection[str]) -> None:
        """Raise MissingColumnsError when no file has one of the columns."""
        missing = sorted(set(wanted) - set(self.schema.names))
        if missing:
            raise MissingColumnsError(
                f"{self._uri} lacks {missing}; it has {sorted(self.schema.names)}. Write them, or correct the feature "
                "view's schema, timestamp_field or field_mapping."
            )

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its path."""
        paths = [fragment.path for fragment in self._dataset.get_fragments()]
        return {place.path: place.size for place in self._dataset.filesystem.get_file_info(paths)}

    def among(self, paths: Iterable[str]) -> "ParquetFiles":
        """Some of the files, with the schema of all."""
        some = copy(self)
        some._dataset = among(self._dataset, paths)
        return some

    def batches(self, columns: Sequence[str], where: Sequence[Between] = ()) -> Iterator[pa.RecordBatch]:
        """Row groups that may hold rows that fulfil all conditions, whole or in part: the caller looks closer."""
        try:
            yield from file_batches(self._dataset, columns, where)
        except (pa.ArrowInvalid, OSError) as problem:
            raise InvalidDataError(
                f"The Parquet files at {self._uri} cannot be read: {problem}. Restore or rewrite the file at fault."
            ) from problem


def _discovered(
    filesystem: pafs.FileSystem, files: list[str], root: str, partitioning: Any
) -> tuple[pa.Schema, ds.FileSystemDatasetFactory]:
    """What the files and the names of their folders have, and what makes a dataset of it."""
    options = ds.FileSystemFactoryOptions(partition_base_dir=root, partitioning=partitioning)
    factory = ds.FileSystemDatasetFactory(filesystem, files, ds.ParquetFileFormat(), options)
    schemas = map(_without_dictionaries, factory.inspect_schemas())
    return pa.unify_schemas(list(schemas), promote_options="permissive"), factory


def _declared_partitions(
    files: Iterable[str], root: str, found: pa.Schema, types: Mapping[str, pa.DataType]
) -> pa.Schema | None:
    """The columns that folders name, in the declared types where there are some; None where there are none."""
    folders = {part for file in files for part in Path(file).relative_to(root).parent.parts if "=" in part}
    names = [name for name in found.names if name in {unquote(folder.partition("=")[0]) for folder in folders}]
    declared = {name: types[name] for name in names if name in types and _can_be_named(types[name])}
    if not declared:
        return None
    return pa.schema([(name, declared.get(name, found.field(name).type)) for name in names])


def _can_be_named(dtype: pa.DataType) -> bool:
    """Whether the name of a folder can spell a value of the type."""
    is_number = pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_boolean(dtype)
    return bool(is_number or pa.types.is_string(dtype))


def filesystem_of(uri: str, options: Mapping[str, str]) -> tuple[pafs.FileSystem, str]:
    """Arrow's file system of `uri`, and the path in it."""
    if uri.startswith("s3://") and options:
        names = {
            "AWS_ENDPOINT_URL": "endpoint_override",
            "AWS_ACCESS_KEY_ID": "access_key",
            "AWS_SECRET_ACCESS_KEY": "secret_key",
            "AWS_SESSION_TOKEN": "session_token",
            "AWS_REGION": "region",
        }
        given = {names[name]: value for name, value in options.items() if name in names}
        return pafs.S3FileSystem(**given), uri.removeprefix("s3://")
    if "://" in uri:
        filesystem, path = pafs.FileSystem.from_uri(uri)
        return filesystem, path
    return pafs.LocalFileSystem(), uri


def _without_dictionaries(schema: pa.Schema) -> pa.Schema:
    """Categories as the values they stand for: in Parquet the two are stored alike, file by file as a writer liked."""
    return pa.schema(
        column.with_type(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in schema
    )


def parquet_paths(filesystem: pafs.FileSystem, folder: str) -> list[str]:
    """Paths below `folder` in order, without hidden ones."""
    found = filesystem.get_file_info(pafs.FileSelector(folder, recursive=True))
    inside = [str(Path(place.path).relative_to(folder)) for place in found if place.type == pafs.FileType.File]
    return sorted(path for path in inside if not any(_is_hidden(part) for part in Path(path).parts))


def _is_hidden(name: str) -> bool:
    """As Spark and Hive have it: a partition by a column like `__log_date` is not hidden."""
    return name.startswith((".", "_")) and "=" not in name
