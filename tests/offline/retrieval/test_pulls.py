"""What Feast's own materialization, monitoring and logs read."""

from pathlib import Path

import pyarrow as pa
import pytest
from feast import FeatureStore

from larder.offline import DeltaSource
from tests.offline.project import feature_store, write_table
from tests.offline.shop import at, instants


def test_the_latest_rows_of_a_range(store: FeatureStore):
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config,
        store.get_data_source("sales_source"),
        ["shop_number"],
        ["amount"],
        "sold_at",
        None,
        at("10:30"),
        at("12:00"),
    )

    assert job.to_arrow().to_pylist() == [{"shop_number": "a", "amount": 2.0, "sold_at": at("11:00")}]


@pytest.mark.parametrize("name", ["event_timestamp", "known_at"])
def test_a_feature_may_have_a_name_that_elsewhere_is_that_of_an_instant(tmp_path: Path, name: str):
    store = feature_store(tmp_path)
    write_table(tmp_path, "sales", pa.table({"shop": ["a"], "at": instants("10:00"), name: [7.0]}))
    source = DeltaSource(name="sales", path="sales", timestamp_field="at")

    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, source, ["shop"], [name], "at", None, at("09:00"), at("12:00")
    )

    assert job.to_arrow().to_pylist() == [{"shop": "a", name: 7.0, "at": at("10:00")}]


@pytest.mark.parametrize("features", [["one", "other"], ["other", "one"]])
@pytest.mark.parametrize(("renamed", "latest"), [({}, (2, 1)), ({"one": "z"}, (1, 2))])
def test_rows_of_equal_times_are_told_apart_by_the_views_names_as_everywhere_else(
    tmp_path: Path, features: list[str], renamed: dict[str, str], latest: tuple[int, int]
):
    store = feature_store(tmp_path)
    rows = {"shop": pa.array(["a", "a"]), "at": instants("10:00", "10:00"), "one": [1, 2], "other": [2, 1]}
    write_table(tmp_path, "sales", pa.table(rows))
    source = DeltaSource(name="sales", path="sales", timestamp_field="at", field_mapping=renamed)

    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, source, ["shop"], features, "at", None, at("09:00"), at("12:00")
    )

    assert job.to_arrow().select(["one", "other"]).to_pylist() == [dict(zip(("one", "other"), latest, strict=True))]


def test_without_feature_names_all_columns_are_pulled(store: FeatureStore):
    """Feast's engines ask so for a view with a transformation, whose inputs are not its features."""
    job = store._get_provider().offline_store.pull_all_from_table_or_query(
        store.config, store.get_data_source("sales_source"), ["shop_number"], [], "sold_at", None, at("11:00"), None
    )

    assert job.to_arrow().column_names == ["shop_number", "sold_at", "amount", "last_seen_at", "pieces"]
    assert job.to_arrow()["amount"].to_pylist() == [2.0]


def test_rows_without_entities_come_under_feasts_own_key(store: FeatureStore):
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config, store.get_data_source("sales_source"), [], ["amount"], "sold_at", None, at("00:00"), at("12:00")
    )

    assert job.to_arrow().select(["__dummy_id", "amount"]).to_pylist() == [{"__dummy_id": "", "amount": 2.0}]


def test_a_pull_reads_the_version_that_was_there_when_it_was_asked_for(store: FeatureStore):
    job = store._get_provider().offline_store.pull_all_from_table_or_query(
        store.config, store.get_data_source("sales_source"), ["shop_number"], ["amount"], "sold_at"
    )

    assert list(job.versions.values()) == [0]
    assert sum(table.num_rows for table in job.to_arrow_batches(rows_per_batch=2)) == 3
    batches = pa.concat_tables(job.to_arrow_batches(rows_per_batch=2))
    assert batches["sold_at"].to_pylist() == job.to_arrow()["sold_at"].to_pylist()
