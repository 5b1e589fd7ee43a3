"""A Delta table as a Feast data source."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from feast.data_source import DataSource
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.repo_config import RepoConfig
from feast.type_map import pa_to_feast_value_type
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError, MissingColumnsError, MissingTableError
from larder.offline.lake import lake_root
from larder.offline.tables.columns import columns_by_name
from larder.offline.tables.delta_table import open_table, table_schema
from larder.offline.tables.kinds import feast_name
from larder.versions.commits import version_at


class DeltaSource(DataSource):
    """Rows of a Delta table, one per entity and event timestamp (and correction)."""

    def __init__(
        self,
        *,
        path: str,
        name: str = "",
        timestamp_field: str = "",
        created_timestamp_column: str = "",
        known_time_cutoff: bool = False,
        version: int | None = None,
        timestamp: datetime | None = None,
        field_mapping: dict[str, str] | None = None,
        description: str = "",
        tags: dict[str, str] | None = None,
        owner: str = "",
    ) -> None:
        """
        `path` is a folder, an object-store URI, or relative to the lake; `name` defaults to it.
        `known_time_cutoff` says that `created_timestamp_column` is the instant from which serving could have
        returned the row: a retrieval at t then sees no row created after t. `version` pins the table; so does
        `timestamp` (time zone required), to the latest version that was committed at or before it.
        """
        if version is not None and timestamp is not None:
            raise ConfigurationError(
                f"DeltaSource {name or path!r} has version={version} and timestamp={timestamp.isoformat()}. "
                "One of them pins the table; leave the other out."
            )
        if version is not None and (type(version) is not int or version < 0):
            raise ConfigurationError(
                f"DeltaSource {name or path!r} has version={version!r}. A version is a whole number from 0 on."
            )
        if not timestamp_field:
            raise ConfigurationError(
                f"DeltaSource {name or path!r} has no timestamp_field. Name the column with the instant that a row "
                "describes; `timestamp` and `version` pin the table."
            )
        if timestamp is not None and not isinstance(timestamp, datetime):
            raise ConfigurationError(
                f"DeltaSource {name or path!r} has timestamp={timestamp!r}, which is no datetime. Give the instant "
                "that pins the table; the name of the column with the rows' instants is timestamp_field."
            )
        if timestamp is not None and timestamp.tzinfo is None:
            raise ConfigurationError(
                f"DeltaSource {name or path!r} has timestamp={timestamp.isoformat()} without a time zone. "
                "Say which one it is in, for example with tzinfo=UTC."
            )
        if known_time_cutoff and not created_timestamp_column:
            raise ConfigurationError(
                f"DeltaSource {name or path!r} has known_time_cutoff=True but no created_timestamp_column. "
                "Name the column that holds the instant at which a row became known."
            )
        super().__init__(
            name=name or path,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            field_mapping=field_mapping,
            description=description,
            tags=tags,
            owner=owner,
        )
        self.path = path
        self.known_time_cutoff = known_time_cutoff
        self.version = version
        self.timestamp = None if timestamp is None else timestamp.astimezone(UTC)

    def table(self, config: RepoConfig) -> str:
        """Absolute folder or URI of the table."""
        if "://" in self.path or self.path.startswith("/"):
            return self.path
        return f"{lake_root(config).rstrip('/')}/{self.path}"

    def pinned_version(self, config: RepoConfig) -> int | None:
        """The version that `version` or `timestamp` pins; None means the latest.

        Raises MissingTableError when there is no table, or none that old.
        """
        if self.timestamp is None:
            return self.version
        open_table(self.table(config))
        return version_at(self.table(config), self.timestamp)

    def validate(self, config: RepoConfig) -> None:
        """Check the columns of a table that exists; definitions may be applied before their first data."""
        try:
            found = set(table_schema(self.table(config), self.pinned_version(config)).names)
        except MissingTableError:
            return
        columns = columns_by_name(self)
        times = [name for name in (self.timestamp_field, self.created_timestamp_column) if name]
        missing = sorted({*self.field_mapping, *(columns.get(name, name) for name in times)} - found)
        if missing:
            raise MissingColumnsError(
                f"DeltaSource {self.name!r} names {missing}, but {self.table(config)} has {sorted(found)}. "
                "Correct timestamp_field, created_timestamp_column or field_mapping."
            )

    def get_table_column_names_and_types(self, config: RepoConfig) -> Iterable[tuple[str, str]]:
        schema = table_schema(self.table(config), self.pinned_version(config))
        return [(column.name, feast_name(column.type)) for column in schema]

    def get_table_query_string(self) -> str:
        return f'"{self.name}"'

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], ValueType]:
        return _feast_type

    def source_type(self) -> int:
        return int(DataSourceProto.SourceType.CUSTOM_SOURCE)

    def _to_proto_impl(self) -> DataSourceProto:
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.SourceType.CUSTOM_SOURCE,
            data_source_class_type="larder.offline.DeltaSource",
            timestamp_field=self.timestamp_field,
            created_timestamp_column=self.created_timestamp_column,
            field_mapping=self.field_mapping,
            description=self.description,
            tags=self.tags,
            owner=self.owner,
            custom_options=DataSourceProto.CustomSourceOptions(configuration=json.dumps(self._options()).encode()),
        )

    @staticmethod
    def from_proto(data_source: DataSourceProto) -> "DeltaSource":
        options = json.loads(data_source.custom_options.configuration)
        timestamp = options.pop("timestamp", None)
        return DeltaSource(
            name=data_source.name,
            timestamp_field=data_source.timestamp_field,
            created_timestamp_column=data_source.created_timestamp_column,
            field_mapping=dict(data_source.field_mapping),
            description=data_source.description,
            tags=dict(data_source.tags),
            owner=data_source.owner,
            timestamp=timestamp and datetime.fromisoformat(timestamp),
            **options,
        )

    def _options(self) -> dict[str, Any]:
        """What Feast's protobuf has no field for."""
        options = {"path": self.path, "known_time_cutoff": self.known_time_cutoff, "version": self.version}
        # Only where there is one, so that what older releases registered stays equal.
        return options if self.timestamp is None else options | {"timestamp": self.timestamp.isoformat()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeltaSource) and super().__eq__(other) and self._options() == other._options()

    def __hash__(self) -> int:
        return hash((self.name, self.path, self.timestamp_field))


def _feast_type(arrow_type: str) -> ValueType:
    """Feast's type of a Delta column; types that Feast does not know raise ConfigurationError."""
    if arrow_type.startswith(("decimal", "list<item: decimal")):
        return ValueType.DECIMAL_LIST if arrow_type.startswith("list") else ValueType.DECIMAL
    try:
        return ValueType(pa_to_feast_value_type(arrow_type))
    except KeyError:
        raise ConfigurationError(
            f"Feast has no type for a Delta column of type {arrow_type}. Leave the column out of the view by giving "
            "the view a schema, or store it as a number, text, timestamp, binary or a list of these."
        ) from None
