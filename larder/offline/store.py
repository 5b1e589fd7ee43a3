"""Feast's offline store over Delta tables."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from pydantic import StrictStr

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.as_of import INSTANT, latest_at
from larder.offline.delta import as_utc, pinned, read_history
from larder.offline.engines import chosen_engine
from larder.offline.history import History, source_history
from larder.offline.job import DeltaRetrievalJob
from larder.offline.lookup import check_request_keys, lookups_of, rows_between
from larder.offline.on_demand import check_request_columns, on_demand_features
from larder.offline.requests import instant_column, request_table


class DeltaOfflineStoreConfig(FeastConfigBaseModel):
    """The `offline_store:` section of `feature_store.yaml`."""

    type: StrictStr = "larder.offline.DeltaOfflineStore"
    lake: StrictStr = ""
    """Folder or object-store URI to which paths of sources are relative; a relative folder is relative to
    `feature_store.yaml`. Empty means LARDER_LAKE or its default."""
    engine: Literal["auto", "embedded", "spark"] = "auto"
    """`embedded` joins in this process, `spark` on Spark; `auto` picks by the bytes that may be read."""
    spark_from_gigabytes: float = 50.0
    """Size of the histories, as stored, from which `auto` takes Spark: about ten minutes of one process."""


class DeltaOfflineStore(OfflineStore):
    """History of features in Delta tables, read as it was known at each instant."""

    supports_filter_by_created_timestamp = True

    @staticmethod
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

        `entity_df` is a pandas, Arrow or polars table with the join keys, `event_timestamp` (time zone required)
        and the inputs of on-demand views; None stands for every change of the views from `start_date` to
        `end_date`. Result columns: those of the request, then the features in the order of their references.
        """
        lookups = lookups_of(feature_views, feature_refs, config, cutoff=filter_by_created_timestamp)
        requests = request_table(entity_df) if entity_df is not None else rows_between(lookups, start_date, end_date)
        at = instant_column(requests)
        engine = chosen_engine(config.offline_store, lookups)
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        check_request_keys(lookups, requests)
        check_request_columns(on_demand, requests)

        def rows() -> pa.Table:
            features = engine.features_as_of(requests, lookups, at=at)
            features |= on_demand_features(requests, features, on_demand)
            return _beside(requests, features, feature_refs, full_feature_names=full_feature_names)

        return DeltaRetrievalJob(
            rows,
            config=config,
            versions=_versions(lookup.history for lookup in lookups),
            engine=engine,
            metadata=_metadata(requests, at, feature_refs),
            full_feature_names=full_feature_names,
        )

    @staticmethod
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
        history = _source_history(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column
        )

        def rows() -> pa.Table:
            latest = latest_at(read_history(history), history, instant=as_utc(end_date))
            latest = latest.filter(pc.greater_equal(latest[EVENT_TIMESTAMP], pa.scalar(as_utc(start_date), INSTANT)))
            names = {EVENT_TIMESTAMP: timestamp_field, KNOWN_AT: created_timestamp_column or KNOWN_AT}
            latest = latest.rename_columns([names.get(name, name) for name in latest.column_names])
            return latest if created_timestamp_column else latest.drop_columns([KNOWN_AT])

        return DeltaRetrievalJob(rows, config=config, versions=_versions([history]))

    @staticmethod
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
        history = _source_history(
            config, data_source, join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column
        )

        def rows() -> pa.Table:
            found = read_history(history, until=as_utc(end_date) if end_date else None)
            if start_date:
                found = found.filter(pc.greater_equal(found[timestamp_field], pa.scalar(as_utc(start_date), INSTANT)))
            return found

        return DeltaRetrievalJob(rows, config=config, versions=_versions([history]))

    @staticmethod
    def offline_write_batch(*_: object, **__: object) -> None:
        raise ConfigurationError(
            "Writing feature rows through Feast comes with a later version of larder.offline. "
            "Append to the Delta table of the DeltaSource with the engine that writes it."
        )

    @staticmethod
    def write_logged_features(*_: object, **__: object) -> None:
        raise ConfigurationError(
            "Logging features through Feast comes with a later version of larder.offline. "
            "The server's prediction log (Lake.predictions) holds the features of every answer."
        )


def _source_history(
    config: RepoConfig,
    source: DataSource,
    keys: Sequence[str],
    features: Sequence[str],
    timestamp_field: str,
    created_timestamp_column: str | None,
) -> History:
    """The source's history under the names of its own columns, which is how Feast asks here."""
    history = source_history(source, config, keys=keys, features=features, columns={})
    return pinned(replace(history, event_timestamp=timestamp_field, known_at=created_timestamp_column or None))


def _versions(histories: Iterable[History]) -> dict[str, int]:
    return {history.table: history.version for history in histories if history.version is not None}


def _beside(
    requests: pa.Table, features: dict[str, pa.ChunkedArray], references: Sequence[str], *, full_feature_names: bool
) -> pa.Table:
    for reference in dict.fromkeys(references):
        view, feature = reference.split(":")
        name = f"{view.split('@')[0]}__{feature}" if full_feature_names else feature
        if name in requests.column_names:
            raise InvalidDataError(
                f"The name {name!r} stands for feature {reference!r} and for another column of the result. "
                "Rename the request's column, or ask with full_feature_names=True."
            )
        requests = requests.append_column(name, features[reference])
    return requests


def _metadata(requests: pa.Table, at: str, references: list[str]) -> RetrievalMetadata:
    bounds = pc.min_max(requests[at].cast(pa.timestamp("us", tz="UTC"), safe=False))
    return RetrievalMetadata(
        features=references,
        keys=[name for name in requests.column_names if name != at],
        min_event_timestamp=bounds["min"].as_py(),
        max_event_timestamp=bounds["max"].as_py(),
    )
