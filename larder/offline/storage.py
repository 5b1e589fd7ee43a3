"""Where Feast keeps a saved dataset when this store retrieved it: a Delta table."""

import json

from feast.data_source import DataSource
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.protos.feast.core.SavedDataset_pb2 import SavedDatasetStorage as SavedDatasetStorageProto
from feast.saved_dataset import SavedDatasetStorage

from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.source import DeltaSource


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
