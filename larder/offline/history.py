"""Where the values of a feature view lie, and how time is told there. Importing it loads no Feast, for Spark tasks."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from larder.contracts.errors import ConfigurationError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT, Lake
from larder.views import age_limit, feature_fields, key_fields

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureView, StreamFeatureView
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig


@dataclass(frozen=True)
class Windows:
    """What a view with windows declares about its gold."""

    fingerprint: str
    source: str
    """Table of the events."""
    project: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name in the view -> column of the events, where they differ."""


@dataclass(frozen=True)
class History:
    """All values that a feature view ever had: one row per key, event timestamp and correction."""

    table: str
    """Folder or URI of the Delta table; with format "parquet" also a file."""
    keys: tuple[str, ...]
    """Join keys, as the view names them."""
    features: tuple[str, ...]
    """All features of the view, as it names them and in its order."""
    event_timestamp: str
    """Column with the instant that a row describes."""
    known_at: str | None = None
    """Column with the instant at which a row was created or known; it orders rows of one event timestamp."""
    cutoff: bool = False
    """Whether `known_at` is also the instant before which nobody could have seen the row."""
    ttl: timedelta | None = None
    """Age beyond which a value is withheld; None means never."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name in the view -> column of the table, where they differ."""
    version: int | None = None
    """Version of the Delta table; None means the latest."""
    format: Literal["delta", "parquet"] = "delta"
    """How `table` is stored."""
    naive_is_utc: bool = False
    """Whether a time without a zone is an instant in UTC (Feast's FileSource) instead of refused."""
    types: Mapping[str, "pa.DataType"] = field(default_factory=dict)
    """Column of the table -> its declared type, for columns that only the names of Parquet files' folders tell."""
    windows: Windows | None = None
    """What the table must have been built from; None where nothing is to be checked."""
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Endpoint and credentials of the object store, where the source names its own."""

    @property
    def times(self) -> tuple[str, ...]:
        return (self.event_timestamp,) if self.known_at is None else (self.event_timestamp, self.known_at)

    def column(self, name: str) -> str:
        """The table's column behind a name of the view."""
        return self.columns.get(name, name)

    @property
    def fingerprint(self) -> str:
        """Changes with the columns that are read, and with what orders rows; not with the table, its version or ttl."""
        columns = [(name, self.column(name)) for name in sorted((*self.keys, *self.features, *self.times))]
        read = (columns, self.event_timestamp, self.known_at, self.cutoff)
        return hashlib.sha256(repr(read).encode()).hexdigest()[:16]


def history_of(view: "FeatureView", config: "RepoConfig") -> History:
    """The history of `view`: its gold table when it declares windows, else its batch source."""
    from feast import StreamFeatureView

    from larder.offline.lake import lake_root

    keys = tuple(field.name for field in key_fields(view))
    features = tuple(field.name for field in feature_fields(view))
    ttl = age_limit(view)
    if isinstance(view, StreamFeatureView) and view.aggregations:
        table = Lake(lake_root(config)).gold(view.name)
        windows = _windows(view, config)
        return History(table, keys, features, EVENT_TIMESTAMP, KNOWN_AT, cutoff=True, ttl=ttl, windows=windows)
    return replace(_batch_history(view, config, keys=keys, features=features), ttl=ttl)


def _windows(view: "StreamFeatureView", config: "RepoConfig") -> Windows:
    from larder.compute.declaration import window_definition
    from larder.offline.source import DeltaSource
    from larder.offline.tables.columns import columns_by_name

    definition, source = window_definition(view), view.batch_source
    # The engine takes windows over no other source, so that there can be no gold.
    table = source.table(config) if isinstance(source, DeltaSource) else ""
    return Windows(definition.fingerprint, table, config.project, definition.renamed(columns_by_name(source)))


def events_of(view: "FeatureView", config: "RepoConfig") -> History:
    """What the view is made of: the rows of its batch source, keys and features left out.

    Gold goes on for a while when events stop coming: rows are written when old events leave their windows, too.
    """
    return _batch_history(view, config, keys=(), features=())


def _batch_history(
    view: "FeatureView", config: "RepoConfig", *, keys: Sequence[str], features: Sequence[str]
) -> History:
    from larder.offline.tables.columns import columns_by_name
    from larder.offline.types import arrow_type

    source = view.batch_source
    if source is None:
        raise ConfigurationError(f"Feature view {view.name!r} has no source to read its history from. Give it one.")
    history = source_history(source, config, keys=keys, features=features, columns=columns_by_name(source))
    declared = ((field.name, arrow_type(field.dtype)) for field in (*view.entity_columns, *feature_fields(view)))
    return replace(history, types={history.column(name): dtype for name, dtype in declared if dtype is not None})


def source_history(
    source: "DataSource",
    config: "RepoConfig",
    *,
    keys: Sequence[str],
    features: Sequence[str],
    columns: Mapping[str, str],
) -> History:
    """The rows of a source, without a ttl; `columns` translates `keys` and `features` to the table's names."""
    from feast import FileSource

    from larder.offline.source import DeltaSource
    from larder.offline.tables.files import file_uri, is_delta, storage_options

    if isinstance(source, FileSource):
        return History(
            file_uri(source, config),
            tuple(keys),
            tuple(features),
            source.timestamp_field,
            source.created_timestamp_column or None,
            columns=columns,
            format="delta" if is_delta(source, config) else "parquet",
            naive_is_utc=True,
            storage_options=storage_options(source),
        )
    if not isinstance(source, DeltaSource):
        raise unreadable(source)
    return History(
        source.table(config),
        tuple(keys),
        tuple(features),
        source.timestamp_field,
        source.created_timestamp_column or None,
        cutoff=source.known_time_cutoff,
        columns=columns,
        version=source.pinned_version(config),
    )


def unreadable(source: "DataSource") -> ConfigurationError:
    return ConfigurationError(
        f"Source {source.name!r} is a {type(source).__name__}; larder.offline.DeltaOfflineStore reads DeltaSource "
        "and Feast's FileSource. Declare it as one of these."
    )
