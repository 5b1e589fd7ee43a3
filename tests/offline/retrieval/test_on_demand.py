"""On-demand views over historical rows, where lists of values are not what their functions take."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int64, String
from feast.value_type import ValueType

from larder.contracts.errors import InvalidDataError
from larder.offline import DeltaSource
from larder.online.planning import feature_plan
from larder.online.reading.compiled import CompiledPlan
from tests.offline.project import feature_store, write_table
from tests.offline.shop import instants

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
ELEVEN = pd.Timestamp("2024-05-01T11:00Z")
REQUEST = pa.table(
    {"shop_id": ["a", "b", "c"], "event_timestamp": instants("11:00", "11:00", "11:00"), "tax": [1.0] * 3}
)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Sales per shop, and two functions of one row each."""
    store = feature_store(tmp_path)
    write_table(
        tmp_path, "sales", pa.table({"shop_id": ["a", "b"], "at": instants("10:00", "10:00"), "price": [2.0, 3.0]})
    )
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    sales = FeatureView(
        name="sales",
        entities=[shop],
        schema=[Field(name="shop_id", dtype=String), Field(name="price", dtype=Float64)],
        source=DeltaSource(path="sales", timestamp_field="at"),
    )
    request = RequestSource(name="asked", schema=[Field(name="tax", dtype=Float64)])
    schema = [Field(name="gross", dtype=Float64), Field(name="both", dtype=Array(Float64))]

    @on_demand_feature_view(sources=[sales, request], schema=schema, mode="python", singleton=True)
    def taxed(row: dict[str, Any]) -> dict[str, Any]:
        if row["price"] is None:
            return {"gross": None, "both": [None]}
        return {"gross": row["sales__price"] + row["tax"], "both": [[row["price"], row["tax"]]]}

    store.apply([shop, sales, taxed])
    return store


def test_a_singleton_answers_each_row_as_serving_does_for_it_alone(store: FeatureStore):
    found = store.get_historical_features(REQUEST, ["taxed:gross", "taxed:both"]).to_arrow()

    assert found["gross"].to_pylist() == [3.0, 4.0, None]
    assert found["both"].to_pylist() == [[2.0, 1.0], [3.0, 1.0], None]


def test_a_singleton_of_no_rows_gives_its_columns(store: FeatureStore):
    found = store.get_historical_features(REQUEST.slice(0, 0), ["taxed:gross"]).to_arrow()

    assert found["gross"].to_pylist() == []


def test_what_a_singleton_fails_with_is_told_with_its_name(store: FeatureStore):
    bare = REQUEST.set_column(2, "tax", pa.array([1.0, None, 1.0]))

    with pytest.raises(InvalidDataError, match="'taxed' failed: TypeError"):
        store.get_historical_features(bare, ["taxed:gross"]).to_arrow()


def test_a_request_field_with_two_underscores_is_no_stored_feature(store: FeatureStore):
    fields = [Field(name="tax", dtype=Float64), Field(name="state__tax", dtype=Float64)]

    @on_demand_feature_view(
        sources=[RequestSource(name="taxes", schema=fields)],
        schema=[Field(name="own", dtype=Float64)],
        mode="python",
    )
    def owned(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"own": inputs["tax"]}

    store.apply([owned])
    request = REQUEST.append_column("state__tax", pa.array([9.0] * 3))

    assert store.get_historical_features(request, ["owned:own"]).to_arrow()["own"].to_pylist() == [1.0] * 3


@pytest.fixture
def worded(store: FeatureStore) -> FeatureStore:
    """A function that spells numbers of the request out."""
    numbers = [Field(name="zone", dtype=Int64), Field(name="fare", dtype=Float64)]

    @on_demand_feature_view(
        sources=[RequestSource(name="ride", schema=numbers)], schema=[Field(name="words", dtype=String)], mode="python"
    )
    def ride_words(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"words": [f"{zone}/{fare}" for zone, fare in zip(inputs["zone"], inputs["fare"], strict=True)]}

    store.apply([ride_words, FeatureService(name="rides", features=[ride_words])])
    return store


def test_functions_see_numbers_of_the_request_in_their_declared_type_as_when_serving(worded: FeatureStore):
    """Pandas makes whole numbers beside a missing one floats, and prices without cents may be whole."""
    request = pd.DataFrame({"event_timestamp": [ELEVEN, ELEVEN], "zone": [3, None], "fare": [7, 8]})

    trained = worded.get_historical_features(request, ["ride_words:words"]).to_arrow()["words"].to_pylist()

    plan = feature_plan(worded, "rides")
    served = CompiledPlan(plan)
    rows = [{"zone": 3, "fare": 7}, {"zone": None, "fare": 8}]
    answered = served.answered(served.asked(rows), (), datetime.now(UTC)).values
    assert trained == [words for (words,) in answered] == ["3/7.0", "None/8.0"]


def test_a_view_that_another_process_applied_since_is_found(store: FeatureStore):
    """Feast keeps the registry for ten minutes, and now and then takes an older one for the newest."""
    store.get_historical_features(REQUEST, ["sales:price"])

    @on_demand_feature_view(
        sources=[RequestSource(name="bill", schema=[Field(name="tax", dtype=Float64)])],
        schema=[Field(name="double_tax", dtype=Float64)],
        mode="python",
    )
    def taxes(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"double_tax": [2 * tax for tax in inputs["tax"]]}

    FeatureStore(config=store.config).apply([taxes])

    found = store.get_historical_features(REQUEST, ["taxes:double_tax"]).to_arrow()
    assert found["double_tax"].to_pylist() == [2.0] * 3


def test_a_number_of_the_request_that_is_not_whole_is_refused_where_a_whole_one_is_declared(worded: FeatureStore):
    request = pd.DataFrame({"event_timestamp": [ELEVEN], "zone": [3.5], "fare": [7.0]})

    with pytest.raises(InvalidDataError, match=r"'zone' of the request.*Int64.*3\.5"):
        worded.get_historical_features(request, ["ride_words:words"]).to_arrow()


def test_versions_of_a_view_keep_their_full_names_beside_one_another(store: FeatureStore):
    store.config.registry.enable_online_feature_view_versioning = True
    store = FeatureStore(config=store.config)
    sales = store.get_feature_view("sales")
    wider = [*sales.schema, Field(name="pieces", dtype=Float64)]
    store.apply(
        [FeatureView(name="sales", entities=[store.get_entity("shop")], schema=wider, source=sales.batch_source)]
    )

    references = ["sales@v0:price", "sales@v1:price"]
    found = store.get_historical_features(REQUEST, references, full_feature_names=True).to_arrow()

    assert found.column_names[-2:] == ["sales@v0__price", "sales@v1__price"]
    assert found["sales@v0__price"].to_pylist() == [2.0, 3.0, None]
