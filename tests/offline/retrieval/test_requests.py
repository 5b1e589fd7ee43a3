"""Entity rows in every form, and those that cannot be answered."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import FeatureStore

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError
from larder.offline import DeltaSource
from tests.offline.project import feature_store
from tests.offline.shop import at, rows


def test_requests_from_arrow_and_polars_and_any_stream_of_arrow_give_the_same_as_pandas(store: FeatureStore):
    request = rows(("a", "10:30"), ("b", "10:30"))
    table = pa.Table.from_pandas(request, preserve_index=False)
    frame = pl.DataFrame(pl.from_arrow(table))

    answers = [
        store.get_historical_features(frame, features=["sales:amount"]).to_arrow()["amount"].to_pylist()
        for frame in (request, table, frame, frame.lazy(), table.to_reader())
    ]

    assert len({repr(answer) for answer in answers}) == 1


def test_an_empty_request_gives_no_rows_but_all_columns(store: FeatureStore):
    request = rows(("a", "10:30")).assign(visited_at=[at("10:30")]).iloc[:0]

    found = store.get_historical_features(request, features=["sales:amount", "visits:minutes_since"]).to_arrow()

    assert found.num_rows == 0
    assert found.schema.field("minutes_since").type == pa.float64()


def test_an_empty_frame_without_types_gives_no_rows_and_instants(store: FeatureStore):
    found = store.get_historical_features(
        pd.DataFrame(columns=["shop_id", "event_timestamp"]), features=["sales:amount"]
    ).to_arrow()

    assert found.num_rows == 0
    assert found.schema.field("event_timestamp").type == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("request_rows", "error", "message"),
    [
        (
            pd.DataFrame({"shop_id": ["a"], "event_timestamp": [datetime(2020, 1, 1)]}),
            InvalidDataError,
            "event_timestamp",
        ),
        (pd.DataFrame({"event_timestamp": [at("10:00")]}), MissingColumnsError, "shop_id"),
        (pd.DataFrame({"shop_id": ["a"]}), MissingColumnsError, "event_timestamp"),
        (
            pd.DataFrame({"shop_id": ["a"], "event_timestamp": [pd.NaT]}, dtype=object),
            InvalidDataError,
            "event_timestamp",
        ),
        (pd.DataFrame({"shop_id": [1], "event_timestamp": [at("10:00")]}), InvalidDataError, "shop_id"),
        (rows(("a", "10:00")).assign(amount=1.0), InvalidDataError, "amount"),
        ("select 1 as shop_id", MissingColumnsError, "event_timestamp"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_with_the_column(
    store: FeatureStore, request_rows: Any, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        store.get_historical_features(request_rows, features=["sales:amount"]).to_arrow()


def test_sql_over_the_sources_gives_the_request(store: FeatureStore):
    query = """
        SELECT shop_number AS shop_id, sold_at + INTERVAL '30 minutes' AS event_timestamp, 'x' AS note
        FROM sales_source WHERE amount < 1.5 ORDER BY shop_number
    """

    found = store.get_historical_features(query, features=["sales:amount"]).to_arrow()

    assert found.select(["shop_id", "event_timestamp", "note", "amount"]).to_pylist() == [
        {"shop_id": "a", "event_timestamp": at("10:30"), "note": "x", "amount": 1.0}
    ]


def test_sql_opens_only_the_sources_that_it_names(store: FeatureStore):
    store.apply([DeltaSource(name="later", path="silver/later", timestamp_field="at")])
    query = "SELECT shop_number AS shop_id, sold_at AS event_timestamp FROM sales_source"

    assert store.get_historical_features(query, features=["sales:amount"]).to_arrow().num_rows == 3


def test_sql_with_a_limit_and_a_join_of_two_sources_runs(store: FeatureStore):
    query = """
        SELECT DISTINCT s.shop_number AS shop_id, r.sold_at AS event_timestamp
        FROM sales_source s JOIN sales_source r ON s.shop_number = r.shop_number
        ORDER BY shop_id, event_timestamp LIMIT 2
    """

    found = store.get_historical_features(query, features=["sales:amount"]).to_arrow()

    assert found["amount"].to_pylist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("SELECT shop_number FROM sales_sauce", "sales_sauce"),
        ("SELECT shop FROM sales_source", "shop"),
        ("SELEKT 1", "SELEKT"),
    ],
)
def test_sql_that_cannot_run_is_refused_with_the_tables_that_there_are(store: FeatureStore, query: str, seen: str):
    with pytest.raises(InvalidDataError, match=rf"^.*{seen}.*'sales_source'.*$"):
        store.get_historical_features(query, features=["sales:amount"])


def test_naive_instants_are_utc_where_feast_is_told_to_coerce_them(folder: Path, store: FeatureStore):
    coercing = feature_store(folder)
    coercing.config.coerce_tz_aware = True
    naive = pd.DataFrame({"shop_id": ["a"], "event_timestamp": [datetime(2020, 1, 1, 10, 30)]})

    found = coercing.get_historical_features(naive, features=["sales:amount"]).to_arrow()

    assert found["amount"].to_pylist() == [1.0]


def test_a_function_that_fails_is_named_with_the_nulls_that_it_was_given(store: FeatureStore):
    request = rows(("a", "10:30"), ("a", "10:31")).assign(visited_at=[at("10:30"), None])

    with pytest.raises(InvalidDataError, match=r"'visits' failed: .*Of 2 rows visited_at is null in 1\."):
        store.get_historical_features(request, features=["visits:minutes_since"]).to_arrow()


def test_a_join_key_is_no_feature_also_where_the_registry_says_so(store: FeatureStore):
    every = [f"sales_recent:{field.name}" for field in store.get_stream_feature_view("sales_recent").features]

    with pytest.raises(ConfigurationError, match=r"'sales_recent' is asked for \['shop_id'\].*\['sales_1h'\]"):
        store.get_historical_features(rows(("a", "10:30")), features=every)
