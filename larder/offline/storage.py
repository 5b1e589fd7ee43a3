"""Where Feast keeps a saved dataset when this store retrieved it: a Delta table, or Feast's own file storage."""

import json
from collections.abc import Iterable

import pyarrow as pa
from feast.data_source import DataSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.protos.feast.core.SavedDataset_pb2 import SavedDatasetStorage as SavedDatasetStorageProto
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from larder.contracts.errors import ConfigurationError
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.history import source_history
from larder.offline.source import DeltaSource
from larder.offline.tables.delta_writing import is_table, replace_table
from larder.offline.tables.kinds import storable
from larder.offline.tables.parquet_writing import is_there, replace_parquet


class SavedDatasetDeltaStorage(SavedDatasetStorage):
    """A saved dataset in the Delta table at `path`, relative to the lake or absolute."""

    _proto_attr_name = "custom_storage"

    def __init__(self, path: str) -> None:
        self.path = path

    @staticmethod
    def from_proto(storage_proto: SavedDatasetStorageProto) -> "SavedDatasetDeltaStorage":
        return SavedDatasetDeltaStorage(json.loads(storage_proto.custom_storage.configuration)["path"])

    def to_proto(self) -> SavedDatasetStorageProto:
        configuration = json.dumps({"path": self.path}).encode()
        options = DataSourceProto.CustomSourceOptions(configuration=configuration)
        storage: SavedDatasetStorageProto = self._custom_storage_proto(options)
        return storage

    def to_data_source(self) -> DataSource:
        return DeltaSource(path=self.path, timestamp_field=EVENT_TIMESTAMP)


class DatasetExistsError(ConfigurationError, SavedDatasetLocationAlreadyExists):
    """There is a dataset already; Feast's own error too, for code that was written for Feast."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"There is already a dataset at {place}; it was left as it is. Choose another path, or pass "
            "allow_overwrite=True."
        )


def keep_dataset(
    rows: Iterable[pa.Table], storage: SavedDatasetStorage, config: RepoConfig, *, allow_overwrite: bool
) -> None:
    """Write `rows`, one table after the other, as all that `storage` holds. Raises DatasetExistsError."""
    place = source_history(storage.to_data_source(), config, keys=(), features=(), columns={})
    is_kept = is_there if place.format == "parquet" else is_table
    if is_kept(place.table, place.storage_options) and not allow_overwrite:
        raise DatasetExistsError(place.table)
    replace = replace_parquet if place.format == "parquet" else replace_table
    replace(place.table, _stream(rows), place.storage_options)


def _stream(tables: Iterable[pa.Table]) -> pa.RecordBatchReader:
    tables = iter(tables)
    first = next(tables)
    schema = pa.schema([column.with_type(storable(column.type)) for column in first.schema])

    def batches() -> Iterable[pa.RecordBatch]:
        yield from first.cast(schema).to_batches()
        for table in tables:
            yield from table.cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())
