"""`feast monitor` over this store: metrics computed by Feast, kept in Delta tables."""

from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from feast import FeatureStore, FileSource
from feast.monitoring.dqm_job_manager import DQMJobManager
from feast.monitoring.monitoring_service import MonitoringService

from tests.offline.shop import at


@pytest.fixture
def service(store: FeatureStore) -> MonitoringService:
    store._get_provider().offline_store.ensure_monitoring_tables(store.config)
    return MonitoringService(store)


def metrics(store: FeatureStore, **filters: object) -> list[dict[str, object]]:
    offline = store._get_provider().offline_store
    found = offline.query_monitoring_metrics(store.config, store.project, "feature", filters)
    return [row for row in found if row["feature_view_name"] == "sales"]


def test_metrics_of_a_view_are_kept_once_however_often_they_are_computed(
    store: FeatureStore, service: MonitoringService, folder: Path
):
    for _ in range(2):
        service.compute_metrics(store.project, "sales", ["pieces"], date(2020, 1, 1), date(2020, 1, 1))

    (found,) = metrics(store)
    assert (found["feature_name"], found["row_count"], found["null_count"]) == ("pieces", 3, 1)
    assert found["metric_date"] == "2020-01-01"
    assert DeltaTable(str(folder / "lake/monitoring/feast_monitoring_feature_metrics")).version() == 2


def test_a_baseline_is_cleared_for_its_view_only(store: FeatureStore, service: MonitoringService):
    offline = store._get_provider().offline_store
    row = {"project_id": store.project, "metric_date": date(2021, 1, 1), "granularity": "daily"}
    row |= {"data_source_type": "batch", "feature_type": "numeric", "is_baseline": True, "feature_name": "f"}
    views = ["sales", "it's another"]
    offline.save_monitoring_metrics(store.config, "feature", [row | {"feature_view_name": view} for view in views])

    offline.clear_monitoring_baseline(store.config, store.project, feature_view_name="it's another")

    found = offline.query_monitoring_metrics(
        store.config, store.project, "feature", start_date=date(2020, 12, 31), end_date=date(2021, 1, 1)
    )
    assert {row["feature_view_name"]: row["is_baseline"] for row in found} == {"sales": True, "it's another": False}


def test_the_latest_instant_of_a_source_is_found_and_there_is_none_without_data(store: FeatureStore):
    offline = store._get_provider().offline_store

    sales = store.get_data_source("sales_source")
    assert offline.get_monitoring_max_timestamp(store.config, sales, "sold_at") == at("11:00")
    assert offline.get_monitoring_max_timestamp(store.config, FileSource(path="nothing"), "at") is None


def test_a_job_goes_through_its_states(store: FeatureStore, service: MonitoringService):
    jobs = DQMJobManager(store._get_provider().offline_store, store.config)
    jobs.ensure_table()

    job = jobs.submit(store.project, "compute", "sales", {"days": 1})
    jobs.update_status(job, "running")
    jobs.update_status(job, "completed", result_summary={"features": 3})

    found = jobs.get_job(job, store.project)
    assert found is not None
    assert (found["status"], found["result_summary"], found["parameters"]) == (
        "completed",
        {"features": 3},
        {"days": 1},
    )
