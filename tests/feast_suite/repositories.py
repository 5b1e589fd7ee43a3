"""Larder's stores for Feast's own universal test-suite; CONTRIBUTING.md says how to run it.

Feast's tests import this module by the name in FULL_REPO_CONFIGS_MODULE, with this folder on the path: their
package is called `tests` as well.
"""

import sys
import tempfile
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake
from feast import FileSource
from feast.data_source import DataSource
from tests.universal.feature_repos.universal.data_source_creator import DataSourceCreator
from tests.universal.feature_repos.universal.data_sources.file import DeltaFileSourceCreator, FileDataSourceCreator

from larder.offline import (
    DeltaLoggingDestination,
    DeltaOfflineStoreConfig,
    DeltaSource,
    SavedDatasetDeltaStorage,
)


class LarderDelta(DataSourceCreator):
    """DeltaSource in a lake of its own; naive times are stored as UTC, for DeltaSource refuses them."""

    def __init__(self, project_name: str, **_: Any) -> None:
        super().__init__(project_name)
        self._lake = tempfile.TemporaryDirectory(prefix="larder lake ")

    def create_data_source(
        self,
        df: pd.DataFrame,
        destination_name: str,
        created_timestamp_column: str = "created_ts",
        field_mapping: dict[str, str] | None = None,
        timestamp_field: str | None = "ts",
    ) -> DataSource:
        rows = pa.Table.from_pandas(df, preserve_index=False)
        write_deltalake(f"{self._lake.name}/{destination_name}", rows.cast(_in_utc(rows.schema)), mode="overwrite")
        source = DeltaSource(
            path=destination_name,
            name=f"{self.project_name}.{destination_name}",
            timestamp_field=timestamp_field or "ts",
            created_timestamp_column=created_timestamp_column or "",
            field_mapping=field_mapping,
        )
        return _named_in_sql(source)

    def create_offline_store_config(self) -> DeltaOfflineStoreConfig:
        return DeltaOfflineStoreConfig(lake=self._lake.name)

    def create_saved_dataset_destination(self) -> SavedDatasetDeltaStorage:
        return SavedDatasetDeltaStorage(path="saved")

    def create_logged_features_destination(self) -> DeltaLoggingDestination:
        return DeltaLoggingDestination(path="logs")

    def teardown(self) -> None:
        self._lake.cleanup()


class LarderParquetFile(FileDataSourceCreator):
    """FileSource on one Parquet file, as an existing Feast repository has it."""

    def create_data_source(self, *arguments: Any, **named: Any) -> DataSource:
        return _named_in_sql(super().create_data_source(*arguments, **named))

    def create_offline_store_config(self) -> DeltaOfflineStoreConfig:
        return DeltaOfflineStoreConfig()


class LarderParquetFolder(LarderParquetFile):
    """FileSource on a folder of two Parquet files."""

    def create_data_source(
        self,
        df: pd.DataFrame,
        destination_name: str,
        created_timestamp_column: str = "created_ts",
        field_mapping: dict[str, str] | None = None,
        timestamp_field: str | None = "ts",
    ) -> DataSource:
        folder = tempfile.mkdtemp(prefix=f"{self.project_name} {destination_name}")
        self.dirs.append(folder)
        rows = pa.Table.from_pandas(df, preserve_index=False)
        pq.write_table(rows.slice(0, 2), f"{folder}/first.parquet")
        pq.write_table(rows.slice(2), f"{folder}/second.parquet")
        return _named_in_sql(
            FileSource(
                path=folder,
                timestamp_field=timestamp_field,
                created_timestamp_column=created_timestamp_column,
                field_mapping=field_mapping or {"ts_1": "ts"},
            )
        )


class LarderDeltaFile(DeltaFileSourceCreator):
    """FileSource with Feast's DeltaFormat."""

    def create_data_source(self, *arguments: Any, **named: Any) -> DataSource:
        return _named_in_sql(super().create_data_source(*arguments, **named))

    def create_offline_store_config(self) -> DeltaOfflineStoreConfig:
        return DeltaOfflineStoreConfig()


def _named_in_sql(source: DataSource) -> DataSource:
    """Feast's tests of SQL write this attribute into their query."""
    source.table_ref = f'"{source.name}"'
    return source


def _in_utc(schema: pa.Schema) -> pa.Schema:
    def stored(dtype: pa.DataType) -> pa.DataType:
        if pa.types.is_list(dtype):
            return pa.list_(stored(dtype.value_type))
        return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(dtype) else dtype

    return pa.schema([column.with_type(stored(column.type)) for column in schema])


AVAILABLE_OFFLINE_STORES = [
    ("local", LarderDelta),
    ("local", LarderParquetFile),
    ("local", LarderParquetFolder),
    ("local", LarderDeltaFile),
]
AVAILABLE_ONLINE_STORES = {"sqlite": ({"type": "sqlite"}, None)}

# Tests that Feast gives to its file store alone go to ours, which takes that store's place.
_configuration = sys.modules["tests.universal.feature_repos.repo_configuration"]
_configuration.OFFLINE_STORE_TO_PROVIDER_CONFIG["file"] = ("local", LarderParquetFile)
