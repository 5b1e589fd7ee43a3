"""The offline store through a real FeatureStore with a registry in SQL."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, PushSource, RequestSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError, MissingTableError
from larder.offline import DeltaSource, SavedDatasetDeltaStorage
from tests.offline.project import feature_store, write_table

INSTANT = pa.timestamp("us", tz="UTC")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Stream feature views are experimental:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:On demand feature view is an experimental:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:(Saving|Retrieving) dataset.* is an experimental:RuntimeWarning"),
]


def at(clock: str) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return datetime(2020, 1, 1, hours, minutes, tzinfo=UTC)


def instants(*clocks: str) -> pa.Array:
    return pa.array([at(clock) for clock in clocks], INSTANT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with sales per shop, a windowed view, and a request-time feature; its path has a space."""
    folder = tmp_path_factory.mktemp("my project")
    write_table(
        folder,
        "silver/sales",
        pa.table(
            {
                "shop_number": ["a", "a", "b"],
                "sold_at": instants("10:00", "11:00", "10:00"),
                "amount": [1.0, 2.0, float("nan")],
                "pieces": pa.array([1, None, 3], pa.int32()),
                "last_seen_at": instants("09:00", "10:30", "09:30"),
            }
        ),
    )
    write_table(
        folder,
        "gold/sales_recent",
        pa.table(
            {
                "shop_id": ["a", "a"],
                "event_timestamp": instants("10:00", "10:00"),
                "known_at": instants("10:00", "12:00"),
                "sales_1h": [1.0, 5.0],
            }
        ),
    )
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> FeatureStore:
    store = feature_store(folder)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = DeltaSource(
        name="sales_source",
        path="silver/sales",
        timestamp_field="sold_at",
        field_mapping={"shop_number": "shop_id"},
        description="One row per sale",
        tags={"grain": "sale"},
        owner="sales@example.org",
    )
    sales = FeatureView(
        name="sales",
        entities=[shop],
        ttl=timedelta(hours=2),
        source=source,
        schema=[
            Field(name="shop_id", dtype=String),
            Field(name="amount", dtype=Float64),
            Field(name="pieces", dtype=Int64),
            Field(name="last_seen_at", dtype=UnixTimestamp),
        ],
    )
    recent = StreamFeatureView(
        name="sales_recent",
        entities=[shop],
        ttl=timedelta(days=1),
        source=PushSource(name="sales_push", batch_source=source),
        timestamp_field="sold_at",
        aggregations=[Aggregation("amount", "sum", timedelta(hours=1), timedelta(minutes=5), "sales_1h")],
        schema=[Field(name="shop_id", dtype=String), Field(name="sales_1h", dtype=Float64)],
    )
    visit = RequestSource(name="visit", schema=[Field(name="visited_at", dtype=UnixTimestamp)])

    @on_demand_feature_view(
        sources=[visit, sales],
        mode="python",
        schema=[Field(name="minutes_since", dtype=Float64), Field(name="has_zone", dtype=Int64)],
    )
    def visits(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = list(zip(inputs["visited_at"], inputs["last_seen_at"], strict=True))
        return {
            "minutes_since": [None if seen is None else (now - seen).total_seconds() / 60 for now, seen in pairs],
            "has_zone": [int(now.utcoffset() is not None) for now, _ in pairs],
        }

    other = sales.with_name("other").with_join_key_map({"shop_id": "other_id"})[["amount"]]
    both = FeatureService(name="both", features=[sales.with_name("own")[["amount"]], other])
    store.apply([shop, source, sales, recent, visits, both])
    return store


def rows(*rows: tuple[str | None, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["shop_id", "clock"])
    return frame.assign(event_timestamp=[at(clock) for clock in frame.pop("clock")])


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


def test_arrow_and_polars_requests_give_the_same_as_pandas(store: FeatureStore):
    request = rows(("a", "10:30"), ("b", "10:30"))
    table = pa.Table.from_pandas(request, preserve_index=False)

    answers = [
        store.get_historical_features(frame, features=["sales:amount"]).to_arrow()["amount"].to_pylist()
        for frame in (request, table, pl.DataFrame(pl.from_arrow(table)))
    ]

    assert len({repr(answer) for answer in answers}) == 1


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


def test_an_empty_request_gives_no_rows_but_all_columns(store: FeatureStore):
    request = rows(("a", "10:30")).assign(visited_at=[at("10:30")]).iloc[:0]

    found = store.get_historical_features(request, features=["sales:amount", "visits:minutes_since"]).to_arrow()

    assert found.num_rows == 0
    assert found.schema.field("minutes_since").type == pa.float64()


def test_a_request_without_entity_rows_gives_every_change_in_the_range(store: FeatureStore):
    found = store.get_historical_features(
        features=["sales:amount"], start_date=at("10:30"), end_date=at("12:00")
    ).to_arrow()

    assert found.select(["shop_id", "event_timestamp", "amount"]).to_pylist() == [
        {"shop_id": "a", "event_timestamp": at("11:00"), "amount": 2.0}
    ]


def test_a_saved_dataset_is_a_delta_table(store: FeatureStore):
    job = store.get_historical_features(rows(("a", "10:30"), ("b", "10:30")), features=["sales:pieces"])

    saved = store.create_saved_dataset(job, name="kept", storage=SavedDatasetDeltaStorage(path="saved/kept"))

    assert sorted(saved.to_df()["pieces"]) == [1, 3]
    assert store.get_saved_dataset("kept").to_df().shape[0] == 2
    with pytest.raises(ConfigurationError, match="allow_overwrite"):
        job.persist(SavedDatasetDeltaStorage(path="saved/kept"))


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


def test_the_source_comes_back_from_the_registry_equal(store: FeatureStore):
    view = store.get_feature_view("sales")

    assert view.batch_source == store.get_data_source("sales_source")
    assert view.batch_source.path == "silver/sales"
    assert view.batch_source.tags == {"grain": "sale"}


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
        ("select 1", InvalidDataError, "str"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_with_the_column(
    store: FeatureStore, request_rows: Any, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        store.get_historical_features(request_rows, features=["sales:amount"]).to_arrow()


def test_a_missing_table_is_named_with_the_remedy(tmp_path: Path):
    source = DeltaSource(path="silver/nothing", timestamp_field="at")
    config = feature_store(tmp_path).config

    source.validate(config)
    with pytest.raises(MissingTableError, match=r"silver/nothing.*larder ingest"):
        list(source.get_table_column_names_and_types(config))


def test_a_source_that_names_a_missing_column_is_refused_at_apply(folder: Path):
    source = DeltaSource(path="silver/sales", timestamp_field="sold")

    with pytest.raises(MissingColumnsError, match=r"'sold'.*sold_at"):
        source.validate(feature_store(folder).config)


def test_a_table_with_naive_times_is_refused_with_the_column(tmp_path: Path):
    from larder.offline.delta import read_history
    from larder.offline.history import History

    naive = pa.table({"shop_id": ["a"], "sold_at": pa.array([datetime(2020, 1, 1)], pa.timestamp("us"))})
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
