"""The result of a retrieval, computed when it is asked for."""

from collections.abc import Callable, Mapping

import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from larder.contracts.errors import ConfigurationError
from larder.offline.engines import Engine
from larder.offline.source import DeltaSource
from larder.offline.tables import write_dataset


class DeltaRetrievalJob(RetrievalJob):
    """Rows of a retrieval; each call computes them anew from the same table versions."""

    def __init__(
        self,
        rows: Callable[[], pa.Table],
        *,
        config: RepoConfig,
        versions: Mapping[str, int],
        engine: Engine | None = None,
        metadata: RetrievalMetadata | None = None,
        full_feature_names: bool = False,
    ) -> None:
        self._rows = rows
        self._config = config
        self._metadata = metadata
        self._full_feature_names = full_feature_names
        self.versions = dict(versions)
        """Version of each Delta table that is read, by its folder or URI."""
        self.engine = engine
        """Which engine joins, and why; None where nothing is joined."""

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        return self._rows()

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
        """Write the rows as the Delta table of `storage`, a SavedDatasetDeltaStorage."""
        source = storage.to_data_source()
        if not isinstance(source, DeltaSource):
            raise ConfigurationError(
                f"A retrieval is kept as a Delta table, not in a {type(storage).__name__}. "
                "Pass larder.offline.SavedDatasetDeltaStorage(path=...)."
            )
        write_dataset(source.table(self._config), self._rows(), allow_overwrite=allow_overwrite)
