"""Where Feast's FileSource keeps its rows, and how they are reached."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow.fs as pafs
from deltalake import DeltaTable
from feast import FileSource
from feast.data_format import DeltaFormat
from feast.repo_config import RepoConfig

from larder.offline.tables.parquet import filesystem_of


def file_uri(source: FileSource, config: RepoConfig) -> str:
    """Absolute path or URI of a source's files; a relative path starts at feature_store.yaml."""
    return str(FileSource.get_uri_for_file_path(config.repo_path and Path(config.repo_path).absolute(), source.path))


def is_delta(source: FileSource, config: RepoConfig) -> bool:
    """Whether a source is a Delta table. One declared as Parquet would show the rows that Delta has deleted."""
    if isinstance(source.file_format, DeltaFormat):
        return True
    uri, options = file_uri(source, config), dict(storage_options(source))
    filesystem, path = filesystem_of(uri, options)
    is_folder = filesystem.get_file_info(path).type == pafs.FileType.Directory
    return bool(is_folder and DeltaTable.is_deltatable(uri, options or None))


def storage_options(source: FileSource) -> Mapping[str, str]:
    """Endpoint and credentials that the source itself names, as deltalake calls them."""
    credentials = dict(source.resolve_credentials() or {})
    if region := credentials.pop("AWS_DEFAULT_REGION", None):
        credentials["AWS_REGION"] = region
    endpoint = {"AWS_ENDPOINT_URL": source.s3_endpoint_override} if source.s3_endpoint_override else {}
    return credentials | endpoint
