"""Historical retrieval with entity rows: what comes out, row for row."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.contracts.errors import InvalidDataError
from larder.offline import DeltaSource
from tests.offline.project import feature_store, write_table
from tests.offline.shop import at, instants, rows


def test_rows_out_are_the_rows_in_with_their_features_beside(store: FeatureStore):
    request = rows(("a", "10:30"), (None, "10:30"), ("b", "13:30"), ("a", "11:00"), ("a", "11:00"), ("z", "11:00"))
    request["note"] = range(6)

    job = store.get_historical_features(request, features=["sales:pieces", "sales:amount"])
    found = job.to_df()

    pd.testing.assert_frame_equal(found[["shop_id", "event_timestamp", "note"]], request)
    assert job.to_arrow()["pieces"].to_pylist() == [1, None, None, None, None, None]
    assert job.to_arrow()["amount"].to_pylist() == [1.0, None, None, 2.0, 2.0, None]
    assert job.to_arrow().schema.field("pieces").type == pa.int64()
    assert job.metadata.keys == ["shop_id", "note"]


def test_nan_stays_nan_beside_null(store: FeatureStore):
    found = store.get_historical_features(rows(("b", "10:30"), ("z", "10:30")), features=["sales:amount"]).to_arrow()

    assert [repr(value) for value in found["amount"].to_pylist()] == ["nan", "None"]


def test_the_result_names_the_versions_that_were_read(store: FeatureStore, folder: Path):
    place = str(folder / "lake" / "silver" / "sales")
    job = store.get_historical_features(rows(("a", "10:30")), features=["sales:amount", "sales_recent:sales_1h"])

    assert job.versions == {place: 0, str(folder / "lake" / "gold" / "sales_recent"): 0}


def test_a_job_reads_the_version_it_names_even_after_a_write(store: FeatureStore, folder: Path):
    extra = pa.table({"shop_id": ["a"], "event_timestamp": instants("10:15"), "known_at": instants("10:15")})
    job = store.get_historical_features(rows(("a", "10:30")), features=["sales_recent:sales_1h"])
    write_deltalake(str(folder / "lake/gold/sales_recent"), extra.append_column("sales_1h", [[9.0]]), mode="append")

    assert job.to_arrow()["sales_1h"].to_pylist() == [1.0]
    later = store.get_historical_features(rows(("a", "10:30")), features=["sales_recent:sales_1h"])
    assert later.to_arrow()["sales_1h"].to_pylist() == [9.0]


def test_a_windowed_view_reads_gold_as_it_was_known(store: FeatureStore):
    job = store.get_historical_features(rows(("a", "10:10"), ("a", "10:14")), features=["sales_recent:sales_1h"])

    assert job.to_arrow()["sales_1h"].to_pylist() == [1.0, 1.0]


def test_projections_map_their_join_keys_and_full_names_carry_the_view(store: FeatureStore):
    request = rows(("a", "10:30")).assign(other_id="b")

    found = store.get_historical_features(
        request, features=store.get_feature_service("both"), full_feature_names=True
    ).to_arrow()

    assert found["own__amount"].to_pylist() == [1.0]
    assert repr(found["other__amount"].to_pylist()) == "[nan]"


@pytest.mark.parametrize("full_feature_names", [False, True])
def test_request_time_features_see_none_for_null_and_instants_with_a_zone(
    store: FeatureStore, full_feature_names: bool
):
    request = rows(("a", "10:30"), ("z", "10:30")).assign(visited_at=[at("10:30"), at("10:30")])

    found = store.get_historical_features(
        request, features=["visits:minutes_since", "visits:has_zone"], full_feature_names=full_feature_names
    ).to_arrow()

    prefix = "visits__" if full_feature_names else ""
    assert found[f"{prefix}minutes_since"].to_pylist() == [90.0, None]
    assert found[f"{prefix}has_zone"].to_pylist() == [1, 1]


def test_a_table_with_naive_times_is_refused_with_the_column(tmp_path: Path):
    from larder.offline.history import History
    from larder.offline.retrieval.reading import read_history

    naive = pa.table({"shop_id": ["a"], "sold_at": instants("10:00").cast(pa.timestamp("us"))})
    place = write_table(tmp_path, "sales", naive)

    with pytest.raises(InvalidDataError, match=r"'sold_at'.*time zone"):
        read_history(History(place, ("shop_id",), (), "sold_at"))


def test_which_of_two_tied_rows_answers_does_not_depend_on_the_features_asked_for(tmp_path: Path):
    store = feature_store(tmp_path)
    tied = pa.table(
        {"shop_id": ["a", "a"], "sold_at": instants("10:00", "10:00"), "first": [1.0, 2.0], "second": [8.0, 7.0]}
    )
    write_table(tmp_path, "tied", tied)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = DeltaSource(path="tied", timestamp_field="sold_at")
    schema = [
        Field(name="shop_id", dtype=String),
        Field(name="first", dtype=Float64),
        Field(name="second", dtype=Float64),
    ]
    store.apply([shop, FeatureView(name="tied", entities=[shop], source=source, schema=schema)])

    alone = store.get_historical_features(rows(("a", "10:30")), features=["tied:second"]).to_arrow()

    assert alone["second"].to_pylist() == [7.0]
