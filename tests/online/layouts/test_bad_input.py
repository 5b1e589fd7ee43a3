"""Bad input through Feast's interface: one clear error or an honest status, and nothing overwritten."""

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import redis
from feast import FeatureStore, Field
from feast.errors import FeatureViewNotFoundException
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64

from larder.contracts.errors import InvalidDataError, MissingKeyError, OnlineStoreError, SchemaMismatchError
from larder.contracts.settings import Settings
from larder.online.server.embedded import online_address
from tests.online import feast_shop
from tests.online.feast_shop import answers, user, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ANN = {"user_id": "ann"}


@pytest.fixture
def store(
    tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> FeatureStore:
    """The shop at noon, with one row of one view."""
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    store = feast_shop.applied_store(tmp_path, online_address(redis_settings))
    write(store, "visits", NOW, user_id="ann", score=4.0)
    return store


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (["nowhere:score"], FeatureViewNotFoundException, "nowhere"),
        (["visits:nothing"], KeyError, "nothing not found in projection visits"),
        ([], ValueError, "No features"),
    ],
)
def test_an_unknown_view_or_feature_is_named(
    store: FeatureStore, features: list[str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        store.get_online_features(features, [ANN])


@pytest.mark.parametrize(
    ("rows", "missing"),
    [([{"shop_id": 7}], "user_id"), ([ANN], "shop_id"), ([{"basket": 1}], "shop_id"), ([{}], "shop_id")],
)
def test_a_missing_join_key_is_named(store: FeatureStore, rows: list[dict[str, Any]], missing: str) -> None:
    with pytest.raises(MissingKeyError, match=f"lacks the join key '{missing}'"):
        store.get_online_features(["loyalty:points"], rows)


def test_rows_that_name_different_keys_or_none_at_all_are_refused(store: FeatureStore) -> None:
    with pytest.raises(InvalidDataError, match="must name the same keys"):
        store.get_online_features(["visits:score"], [ANN, {"user": "bob"}])
    with pytest.raises(InvalidDataError, match="no entity rows"):
        store.get_online_features(["visits:score"], [])
    with pytest.raises(InvalidDataError, match="no entity rows"):
        store.get_online_features(["visits:score"], {"user_id": []})
    with pytest.raises(InvalidDataError, match=r"unequal length: {'user_id': 2, 'shop_id': 1}"):
        store.get_online_features(["loyalty:points"], {"user_id": ["ann", "bob"], "shop_id": [7]})


def test_outputs_that_feast_would_leave_out_of_full_names_are_refused(store: FeatureStore) -> None:
    rows = [ANN | {"basket_price": 8.0}]

    assert store.get_online_features(["relative:price_per_score"], rows).to_dict()["price_per_score"] == [2.0]
    with pytest.raises(InvalidDataError, match="'relative' has mode python, whose features Feast leaves out"):
        store.get_online_features(["relative:price_per_score"], rows, full_feature_names=True)


def test_columns_without_a_name_ask_for_one_row_without_keys(store: FeatureStore) -> None:
    write(store, "overall", NOW, mean_price=2.5)

    assert store.get_online_features(["overall:mean_price"], {}).to_dict() == {"mean_price": [2.5]}
    with pytest.raises(MissingKeyError, match="lacks the join key 'user_id'"):
        store.get_online_features(["visits:score"], {})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (pd.DataFrame([ANN]), r"are a DataFrame.*to_dict\('records'\)"),
        ([("ann",)], "must be a list of dicts"),
        ({"user_id": "ann"}, "'user_id' as a str"),
        ({"user_id": pd.Series(["ann"])}, "'user_id' as a Series"),
    ],
)
def test_what_is_neither_rows_nor_columns_is_refused_by_its_type(store: FeatureStore, rows: Any, words: str) -> None:
    with pytest.raises(InvalidDataError, match=words):
        store.get_online_features(["visits:score"], rows)


@pytest.mark.parametrize(
    "value",
    ["seven", 7.5, True, np.True_, 2**70, 10**400, math.inf, [7], b"7", "", "7.0", "+-5", "+", "9" * 5_000, str(2**63)],
)
def test_a_key_that_is_no_integer_is_refused_and_never_rounded(store: FeatureStore, value: Any) -> None:
    with pytest.raises(InvalidDataError, match="'shop_id' must be an integer of 64 bits") as refusal:
        store.get_online_features(["loyalty:points"], [ANN | {"shop_id": value}])
    assert refusal.value.field == "shop_id"


@pytest.mark.parametrize("value", [7.5, True, b"ann", ["ann"], "\ud800"])
def test_a_key_that_is_no_text_is_refused(store: FeatureStore, value: Any) -> None:
    with pytest.raises(InvalidDataError, match="'user_id' must be Unicode text"):
        store.get_online_features(["visits:score"], [{"user_id": value}])


@pytest.mark.parametrize("value", [7, "7", " +7", 7.0, np.int32(7), np.float32(7)])
def test_a_key_that_becomes_an_integer_unchanged_is_accepted(store: FeatureStore, value: Any) -> None:
    write(store, "loyalty", NOW, user_id="ann", shop_id=7, points=12, since=NOW, level="gold")

    assert answers(store, "loyalty:points", ANN | {"shop_id": value}) == [(12, "PRESENT")]


@pytest.mark.parametrize("value", [None, math.nan, pd.NA, pd.NaT])
def test_a_null_key_is_not_found(store: FeatureStore, value: Any) -> None:
    assert answers(store, "visits:score", {"user_id": value}, ANN) == [(None, "NOT_FOUND"), (4.0, "PRESENT")]


def test_a_view_without_entities_needs_no_key(store: FeatureStore) -> None:
    write(store, "overall", NOW, mean_price=2.5)

    assert answers(store, "overall:mean_price", {}, {}) == [(2.5, "PRESENT")] * 2


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_every_float_comes_back_as_it_was(store: FeatureStore, score: float) -> None:
    row = (key("odd"), {"score": Value(double_val=score)}, NOW, None)
    store._get_provider().online_write_batch(store.config, store.get_feature_view("visits"), [row], None)

    ((found, status),) = answers(store, "visits:score", {"user_id": "odd"})

    assert (str(found), status) == (str(score), "PRESENT")


def key(name: str) -> EntityKey:
    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=name)])


def bad_writes() -> dict[str, Callable[[FeatureStore], None]]:
    def frame(**values: Any) -> Callable[[FeatureStore], None]:
        return lambda store: write(store, "visits", NOW, **values)

    def rows(*values: dict[str, Value]) -> Callable[[FeatureStore], None]:
        row = [(key("ann"), value, NOW, None) for value in values]
        return lambda store: store._get_provider().online_write_batch(
            store.config, store.get_feature_view("visits"), row, None
        )

    return {
        "text where a number belongs": frame(user_id="ann", score="much"),
        "no such column": frame(user_id="ann"),
        "a value of another type": rows({"score": Value(double_val=9.0)}, {"score": Value(string_val="much")}),
    }


@pytest.mark.parametrize("name", bad_writes())
def test_a_write_that_does_not_fit_overwrites_nothing(
    store: FeatureStore, redis_client: redis.Redis, name: str
) -> None:
    before = {found: redis_client.get(found) for found in redis_client.scan_iter()}

    with pytest.raises(Exception, match=r"score|str"):
        bad_writes()[name](store)

    assert {found: redis_client.get(found) for found in redis_client.scan_iter()} == before


def test_rows_that_cannot_be_stored_are_counted_in_the_log(
    store: FeatureStore, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    write(store, "visits", NOW + timedelta(days=1), user_id="ann", score=1.0)
    row = (EntityKey(join_keys=["user_id"], entity_values=[Value()]), {"score": Value(double_val=1.0)}, NOW, None)
    with caplog.at_level(logging.WARNING, logger="larder"):
        store._get_provider().online_write_batch(store.config, store.get_feature_view("visits"), [row], None)

    assert [record.getMessage() for record in caplog.records if record.name.startswith("larder")] == [
        "View visits: 1 rows dated in the future and 0 with a null key were not stored.",
        "View visits: 0 rows dated in the future and 1 with a null key were not stored.",
    ]
    assert redis_client.dbsize() == 1


def test_a_value_larger_than_redis_takes_is_refused_and_the_old_one_stays(
    store: FeatureStore, redis_client: redis.Redis
) -> None:
    row = {"user_id": "ann", "shop_id": 7, "points": 1, "since": NOW}
    write(store, "loyalty", NOW, **row, level="x" * 900_000)
    redis_client.config_set("proto-max-bulk-len", 2**20)
    try:
        with pytest.raises(OnlineStoreError):
            write(store, "loyalty", NOW, **row, level="y" * 1_100_000)
    finally:
        redis_client.config_set("proto-max-bulk-len", 512 * 2**20)

    assert answers(store, "loyalty:level", ANN | {"shop_id": 7}) == [("x" * 900_000, "PRESENT")]


def test_a_record_of_another_schema_is_refused_until_it_is_written_again(store: FeatureStore) -> None:
    store.apply([feast_shop.view("visits", [user], *(Field(name=n, dtype=Float64) for n in ("score", "length")))])

    with pytest.raises(SchemaMismatchError, match="visits"):
        answers(store, "visits:score", ANN)
    write(store, "visits", NOW, user_id="ann", score=5.0, length=1.0)
    assert answers(store, "visits:score", ANN) == [(5.0, "PRESENT")]


def test_a_singleton_is_computed_for_one_row_and_refused_for_several(store: FeatureStore) -> None:
    @on_demand_feature_view(
        sources=[feast_shop.visits], schema=[Field(name="double", dtype=Float64)], mode="python", singleton=True
    )
    def doubled(row: dict[str, Any]) -> dict[str, Any]:
        return {"double": row["score"] * 2}

    store.apply([doubled])

    assert store.get_online_features(["doubled:double"], [ANN]).to_dict()["double"] == [8.0]
    with pytest.raises(InvalidDataError, match=r"'doubled' has singleton=True.*the request has 2"):
        store.get_online_features(["doubled:double"], [ANN, ANN])
