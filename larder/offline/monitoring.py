"""What Feast's monitoring finds (`feast monitor`), kept in Delta tables of the lake."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore
from feast.monitoring.monitoring_utils import monitoring_table_meta, normalize_monitoring_row
from feast.repo_config import RepoConfig

from larder.contracts.errors import MissingTableError
from larder.offline.lake import lake_root
from larder.offline.retrieval.pulls import pulled_history
from larder.offline.retrieval.reading import StoredRows
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.kinds import INSTANT

_TYPES: Mapping[str, pa.DataType] = {
    "metric_date": pa.date32(),
    "is_baseline": pa.bool_(),
    **dict.fromkeys(("computed_at", "max_event_timestamp", "started_at", "completed_at"), INSTANT),
    **dict.fromkeys(("row_count", "null_count", "total_row_count", "total_features"), pa.int64()),
    **dict.fromkeys(("features_with_nulls", "total_feature_views"), pa.int64()),
    **dict.fromkeys(("null_rate", "avg_null_rate", "max_null_rate", "mean", "stddev", "min_val"), pa.float64()),
    **dict.fromkeys(("max_val", "p50", "p75", "p90", "p95", "p99"), pa.float64()),
}
"""Of Feast's columns that are not text."""


class MonitoredOfflineStore(OfflineStore):
    """The part of an offline store that keeps metrics; Feast computes them itself from what the store retrieves."""

    @staticmethod
    def ensure_monitoring_tables(config: RepoConfig) -> None:
        for kind in ("feature", "feature_view", "feature_service", "job"):
            DeltaTable.create(_place(config, kind), schema=_schema(kind), mode="ignore")

    @staticmethod
    def save_monitoring_metrics(config: RepoConfig, metric_type: str, metrics: list[dict[str, Any]]) -> None:
        """Add rows, or replace those of the same project, name, date, granularity and kind of source."""
        if not metrics:
            return
        schema = _schema(metric_type)
        rows = [{name: _stored(row.get(name)) for name in schema.names} for row in metrics]
        same = " AND ".join(f"held.{key} = new.{key}" for key in monitoring_table_meta(metric_type)[2])
        merge = open_table(_place(config, metric_type)).merge(
            pa.Table.from_pylist(rows, schema=schema), predicate=same, source_alias="new", target_alias="held"
        )
        merge.when_matched_update_all().when_not_matched_insert_all().execute()

    @staticmethod
    def query_monitoring_metrics(
        config: RepoConfig,
        project: str,
        metric_type: str,
        filters: dict[str, Any] | None = None,
        start_date: date | None = None,
        end_date: date | None = None,
    ) -> list[dict[str, Any]]:
        """Rows by date; an empty `project` stands for any, both dates are included."""
        rows = pa.table(open_table(_place(config, metric_type)).scan()).cast(_schema(metric_type))
        for name, value in ({"project_id": project or None} | (filters or {})).items():
            rows = rows if value is None else rows.filter(pc.field(name) == value)
        rows = rows if start_date is None else rows.filter(pc.field("metric_date") >= start_date)
        rows = rows if end_date is None else rows.filter(pc.field("metric_date") <= end_date)
        return [normalize_monitoring_row(row) for row in rows.sort_by("metric_date").to_pylist()]

    @staticmethod
    def clear_monitoring_baseline(
        config: RepoConfig,
        project: str,
        feature_view_name: str | None = None,
        feature_name: str | None = None,
        data_source_type: str | None = None,
    ) -> None:
        """Make the features of `project`, or those with these names, no baseline any more."""
        wanted = {
            "project_id": project,
            "feature_view_name": feature_view_name,
            "feature_name": feature_name,
            "data_source_type": data_source_type,
        }
        conditions = [f"{name} = '{_escaped(value)}'" for name, value in wanted.items() if value is not None]
        table = open_table(_place(config, "feature"))
        table.update({"is_baseline": "false"}, predicate=" AND ".join(["is_baseline", *conditions]))

    @staticmethod
    def get_monitoring_max_timestamp(
        config: RepoConfig, data_source: DataSource, timestamp_field: str
    ) -> datetime | None:
        """The greatest event timestamp of a source; None where it has no rows or is not there."""
        try:
            history = pulled_history(config, data_source, [], [timestamp_field], timestamp_field, None)
        except MissingTableError:
            return None
        latest = [pc.max(batch[timestamp_field]).as_py() for batch in StoredRows(history, ()).batches()]
        return max((instant for instant in latest if instant is not None), default=None)


def _place(config: RepoConfig, kind: str) -> str:
    return f"{lake_root(config).rstrip('/')}/monitoring/{monitoring_table_meta(kind)[0]}"


def _schema(kind: str) -> pa.Schema:
    return pa.schema([(name, _TYPES.get(name, pa.string())) for name in monitoring_table_meta(kind)[1]])


def _stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _escaped(text: str) -> str:
    return text.replace("'", "''")
