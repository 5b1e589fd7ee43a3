"""The result of a retrieval, computed when it is asked for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from larder.offline.history import History
from larder.offline.join.engines import Engine
from larder.offline.lake import lake_root
from larder.offline.storage import SavedDatasetDeltaStorage, keep_dataset
from larder.offline.tables.delta_table import open_table
from larder.versions.snapshot import row_count

ROWS_PER_BATCH = 1_000_000

Batches = Callable[[int], Iterator[pa.Table]]
"""The rows of a retrieval as tables of at most so many rows; one table, if an empty one, where there are none."""


@dataclass(frozen=True)
class TableRead:
    """A Delta table behind a retrieval."""

    table: str
    """Folder or URI."""
    version: int
    rows: int | None
    """Rows of this version; None where its log does not count them."""


class DeltaRetrievalJob(RetrievalJob):
    """Rows of a retrieval; each call computes them anew from the same table versions."""

    def __init__(
        self,
        batches: Batches,
        *,
        config: RepoConfig,
        histories: Iterable[History],
        engine: Engine | None = None,
        metadata: RetrievalMetadata | None = None,
        full_feature_names: bool = False,
    ) -> None:
        self._batches = batches
        self._config = config
        self._metadata = metadata
        self._full_feature_names = full_feature_names
        self._histories = tuple(histories)
        self.versions = {item.table: item.version for item in self._histories if item.version is not None}
        """Version of each Delta table that is read, by its folder or URI."""
        self.engine = engine
        """Which engine joins, and why; None where nothing is joined."""

    @property
    def tables(self) -> list[TableRead]:
        """Each Delta table that is read, with its version and rows."""
        return [
            TableRead(
                history.table,
                version,
                row_count(open_table(history.table, version, options=history.storage_options)),
            )
            for history in {history.table: history for history in self._histories}.values()
            if (version := history.version) is not None
        ]

    def to_arrow_batches(self, *, rows_per_batch: int = ROWS_PER_BATCH) -> Iterator[pa.Table]:
        """The rows in their order as tables of at most `rows_per_batch` rows, one in memory at a time.

        Fewer rows per batch take less memory and more time: each batch reads the history again.
        """
        return self._batches(rows_per_batch)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        return pa.concat_tables(self._batches(2**63 - 1))

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """None left for Feast to run: the rows hold their outputs already."""
        return []

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,
        timeout: int | None = None,  # noqa: ARG002 - Feast's signature
    ) -> None:
        """Write the rows, a batch at a time, to a SavedDatasetDeltaStorage or Feast's SavedDatasetFileStorage."""
        keep_dataset(self.to_arrow_batches(), storage, self._config, allow_overwrite=allow_overwrite)

    def supports_remote_storage_export(self) -> bool:
        return True

    def to_remote_storage(self) -> list[str]:
        """Write the rows below `exports/` in the lake, which nothing cleans up, and name the Parquet files."""
        place = f"{lake_root(self._config).rstrip('/')}/exports/{uuid4().hex}"
        self.persist(SavedDatasetDeltaStorage(path=place))
        files = open_table(place).file_uris()
        return list(files) if "://" in place else [unquote(file) for file in files]
