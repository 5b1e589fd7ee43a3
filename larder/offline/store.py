"""Feast's offline store over Delta tables."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, FileSource
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from feast.utils import _get_requested_on_demand_feature_views
from pydantic import StrictStr

from larder.contracts.errors import InvalidDataError
from larder.feast_errors import told_to_feast
from larder.offline.history import unreadable
from larder.offline.join.engines import chosen_engine
from larder.offline.logs import write_logs
from larder.offline.monitoring import MonitoredOfflineStore
from larder.offline.retrieval.job import DeltaRetrievalJob
from larder.offline.retrieval.lookup import check_request_keys, lookups_of, rows_between
from larder.offline.retrieval.on_demand import check_request_columns, on_demand_features
from larder.offline.retrieval.pulls import (
    all_rows,
    check_file_source,
    file_columns,
    in_batches,
    latest_rows,
    pulled_history,
)
from larder.offline.retrieval.requests import instant_column, request_table
from larder.offline.retrieval.sql import rows_of_query
from larder.offline.source import DeltaSource
from larder.offline.tables.kinds import INSTANT
from larder.offline.writing import append_to_source
from larder.store_settings import StoreSettings


class DeltaOfflineStoreConfig(StoreSettings):
    """The `offline_store:` section of `feature_store.yaml`."""

    type: StrictStr = "larder.offline.DeltaOfflineStore"
    lake: StrictStr = ""
    """Folder or object-store URI to which paths of sources are relative; a relative folder is relative to
    `feature_store.yaml`. Empty means LARDER_LAKE or its default."""
    engine: Literal["auto", "embedded", "spark"] = "auto"
    """`embedded` joins in this process, `spark` on Spark; `auto` picks by the bytes that may be read."""
    spark_from_gigabytes: float = 50.0
    """Size of the histories, as stored, from which `auto` takes Spark: about ten minutes of one process."""


class DeltaOfflineStore(MonitoredOfflineStore):
    """History of features in Delta tables, read as it was known at each instant."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    @told_to_feast()
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        *,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> DeltaRetrievalJob:
        """The request's rows in their order with their features, as serving would have answered then.

        `entity_df` is a pandas, polars or Arrow table, or SQL over the data sources, with the join keys,
        `event_timestamp` (time zone required) and the inputs of on-demand views; None stands for every change of the
        views from `start_date` to `end_date`. Result columns: those of the request, then the features in the order of
        their references.
        """
        lookups = lookups_of(feature_views, feature_refs, config, cutoff=filter_by_created_timestamp)
        if entity_df is None:
            requests = rows_between(lookups, start_date, end_date)
        elif isinstance(entity_df, str):
            requests = rows_of_query(entity_df, registry.list_data_sources(project), config)
        else:
            requests = request_table(entity_df)
        at = instant_column(requests)
        engine = chosen_engine(config, lookups)
        # Feast's public way there takes them from its cache, which may be older than the views that it passed.
        on_demand = _get_requested_on_demand_feature_views(feature_refs, project, registry, allow_cache=False)
        check_request_keys(lookups, requests)
        check_request_columns(on_demand, requests)

        def answered(asked: pa.Table) -> pa.Table:
            features = engine.features_as_of(asked, lookups, at=at)
            features |= on_demand_features(asked, features, on_demand)
            return _beside(asked, features, feature_refs, full_feature_names=full_feature_names)

        return DeltaRetrievalJob(
            lambda size: map(answered, in_batches(requests, size)),
            config=config,
            histories=[lookup.history for lookup in lookups],
            engine=engine,
            metadata=_metadata(requests, at, feature_refs),
            full_feature_names=full_feature_names,
        )

    @staticmethod
    @told_to_feast()
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> DeltaRetrievalJob:
        """One row per key: what serving holds at `end_date`, unless its event timestamp is before `start_date`."""
        history = pulled_history(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column
        )
        return DeltaRetrievalJob(
            lambda size: in_batches(latest_rows(history, start_date, end_date), size),
            config=config,
            histories=[history],
        )

    @staticmethod
    @told_to_feast()
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> DeltaRetrievalJob:
        """Every row with an event timestamp from `start_date` to `end_date`, both included."""
        history = pulled_history(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column
        )
        return DeltaRetrievalJob(
            lambda size: all_rows(history, start_date, end_date, size),
            config=config,
            histories=[history],
        )

    @staticmethod
    @told_to_feast()
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Append rows to the view's source in one step, their columns and types checked; see `append_to_source`."""
        append_to_source(feature_view, table, config)
        if progress:
            progress(table.num_rows)

    @staticmethod
    @told_to_feast()
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Append a batch of served features to the destination; see `write_logs`."""
        write_logs(data, source.get_schema(registry), logging_config.destination, config)

    @told_to_feast()
    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Raise a LarderError at `feast apply`, not at the first retrieval, for a source that cannot be read."""
        if isinstance(data_source, FileSource):
            check_file_source(data_source, config)
        elif isinstance(data_source, DeltaSource):
            data_source.validate(config)
        else:
            raise unreadable(data_source)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        if isinstance(data_source, FileSource):
            return file_columns(data_source, config)
        columns: Iterable[tuple[str, str]] = data_source.get_table_column_names_and_types(config)
        return columns


def _beside(
    requests: pa.Table, features: dict[str, pa.ChunkedArray], references: Sequence[str], *, full_feature_names: bool
) -> pa.Table:
    for reference in dict.fromkeys(references):
        view, feature = reference.split(":")
        name = f"{view}__{feature}" if full_feature_names else feature
        if name in requests.column_names:
            raise InvalidDataError(
                f"The name {name!r} stands for feature {reference!r} and for another column of the result. "
                "Rename the request's column, or ask with full_feature_names=True."
            )
        requests = requests.append_column(name, features[reference])
    return requests


def _metadata(requests: pa.Table, at: str, references: list[str]) -> RetrievalMetadata:
    bounds = pc.min_max(requests[at].cast(INSTANT, safe=False))
    return RetrievalMetadata(
        features=references,
        keys=[name for name in requests.column_names if name != at],
        min_event_timestamp=bounds["min"].as_py(),
        max_event_timestamp=bounds["max"].as_py(),
    )
