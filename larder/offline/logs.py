"""Served features, written down by Feast's feature logging: to a Delta table, or to Feast's own Parquet folder."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from feast.data_source import DataSource
from feast.feature_logging import LOG_TIMESTAMP_FIELD, LoggingDestination
from feast.infra.offline_stores.file_source import FileLoggingDestination, FileSource
from feast.protos.feast.core.FeatureService_pb2 import LoggingConfig as LoggingConfigProto
from feast.repo_config import RepoConfig

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError, MissingTableError
from larder.offline.source import DeltaSource
from larder.offline.tables.delta_table import table_schema
from larder.offline.tables.delta_writing import append_rows
from larder.offline.tables.files import file_uri, storage_options
from larder.offline.tables.kinds import in_utc
from larder.offline.tables.parquet_writing import add_parquet
from larder.offline.types import fitted


class DeltaLoggingDestination(LoggingDestination):
    """The Delta table at `path`, absolute, a URI or relative to the lake; it is made by the first batch of logs.

    Partition by `__log_date` where old logs are deleted by day; without partitions there are fewer, larger files.
    """

    _proto_kind = "larder_delta"

    def __init__(self, *, path: str, partition_by: Sequence[str] = ()) -> None:
        self.path = path
        self.partition_by = tuple(partition_by)

    @classmethod
    def from_proto(cls, config_proto: LoggingConfigProto) -> "DeltaLoggingDestination":
        config = config_proto.custom_destination.config
        return cls(path=config["path"], partition_by=json.loads(config["partition_by"]))

    def to_proto(self) -> LoggingConfigProto:
        config = {"path": self.path, "partition_by": json.dumps(self.partition_by)}
        return LoggingConfigProto(
            custom_destination=LoggingConfigProto.CustomDestination(kind=self._proto_kind, config=config)
        )

    def to_data_source(self) -> DataSource:
        return DeltaSource(path=self.path, timestamp_field=LOG_TIMESTAMP_FIELD)


def write_logs(data: pa.Table | Path, schema: pa.Schema, destination: LoggingDestination, config: RepoConfig) -> None:
    """Append one batch of logs, whose columns must be those of `schema`, in one step.

    `data` is a table or a folder of Parquet files. A feature that came to the service since the last batch becomes a
    new column, null in older logs; instants are stored as UTC microseconds.
    """
    rows = ds.dataset(data, format="parquet").to_table() if isinstance(data, Path) else data
    missing = sorted(set(schema.names) - set(rows.column_names))
    if missing:
        raise MissingColumnsError(
            f"The logs lack {missing}; they have {sorted(rows.column_names)}. Log every feature of the service with "
            "its timestamp and status."
        )
    logs = pa.table([_fitted(rows[column.name], column) for column in schema], schema=_stored(schema))
    if isinstance(destination, DeltaLoggingDestination):
        source = destination.to_data_source()
        table = source.table(config)
        _check_kinds(logs, table)
        append_rows(table, logs, partition_by=destination.partition_by)
    elif isinstance(destination, FileLoggingDestination):
        source = FileSource(path=destination.path, s3_endpoint_override=destination.s3_endpoint_override)
        add_parquet(
            file_uri(source, config), logs, storage_options(source), partition_by=destination.partition_by or ()
        )
    else:
        raise ConfigurationError(
            f"Logs go to a larder.offline.DeltaLoggingDestination or Feast's FileLoggingDestination, not to a "
            f"{type(destination).__name__}. Change the logging_config of the feature service."
        )


def _stored(schema: pa.Schema) -> pa.Schema:
    return pa.schema([column.with_type(in_utc(column.type)) for column in schema])


def _fitted(values: pa.ChunkedArray, column: pa.Field) -> pa.ChunkedArray:
    """Feast's loggers write some instants naive and mean UTC."""
    in_zone = values.cast(in_utc(values.type), safe=False)
    return fitted(in_zone, column.with_type(in_utc(column.type)), where="the logs")


def _check_kinds(logs: pa.Table, table: str) -> None:
    """A feature whose type changed must not be mixed with its older logs."""
    try:
        stored = table_schema(table)
    except MissingTableError:
        return
    for column in logs.schema:
        if column.name in stored.names and stored.field(column.name).type != column.type:
            raise InvalidDataError(
                f"{column.name!r} of the logs is {column.type}, but {stored.field(column.name).type} in {table}; "
                "nothing was written. Log the changed service to another path.",
                field=column.name,
            )
