"""What Feast's own materialization, monitoring and logs read."""

import pyarrow as pa
from feast import FeatureStore

from tests.offline.shop import at


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
