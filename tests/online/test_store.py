from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast import FeatureStore, Field, PushSource, StreamFeatureView
from feast.types import Float64, ScalarMap, String, Struct

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings, load_settings
from larder.offline.lake import lake_root
from larder.online import FeatureReader
from larder.online.contents import count_entities
from larder.online.layouts.lookup import ViewLookup
from larder.online.planning import feature_plan, stored_plan
from larder.online.server import embedded
from larder.online.server.embedded import online_address
from tests.online import feast_shop
from tests.online.feast_shop import answers

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(
    tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> FeatureStore:
    """The shop, its clock standing at noon, one user in each view."""
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    store = feast_shop.applied_store(tmp_path, online_address(redis_settings))
    _write(store, "visits", user_id="ann", score=4.0)
    _write(store, "loyalty", user_id="ann", shop_id=7, points=12, since=NOW - timedelta(days=3), level="gold")
    _write(store, "overall", mean_price=2.5)
    return store


def _write(store: FeatureStore, view: str, at: datetime = NOW, **values: Any) -> None:
    store.write_to_online_store(view, pd.DataFrame([values | {"event_timestamp": at}]))


def _online(store: FeatureStore, features: Any, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    answer = store.get_online_features(features, list(rows)).to_dict()
    return [dict(zip(answer, values, strict=True)) for values in zip(*answer.values(), strict=True)]


def test_feast_reads_what_it_wrote(store: FeatureStore) -> None:
    found = _online(
        store,
        ["loyalty:points", "loyalty:since", "loyalty:level", "visits:score", "overall:mean_price"],
        {"user_id": "ann", "shop_id": 7},
        {"user_id": "ann", "shop_id": 8},
    )

    assert found == [
        {
            "user_id": "ann",
            "shop_id": 7,
            "points": 12,
            "since": NOW - timedelta(days=3),
            "level": "gold",
            "score": 4.0,
            "mean_price": 2.5,
        },
        {"user_id": "ann", "shop_id": 8, "points": None, "since": None, "level": None, "score": 4.0, "mean_price": 2.5},
    ]


def test_a_repository_has_one_embedded_redis_and_one_lake_whatever_folder_it_is_called_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "feature_store.yaml").write_text(
        "project: shop\nprovider: local\nregistry: registry.db\n"
        "offline_store:\n  type: larder.offline.DeltaOfflineStore\n"
        "online_store:\n  type: larder.online.RedisOnlineStore\n"
    )
    settings = load_settings({}, near=shop)
    lakes = set()
    try:
        for number, folder in enumerate([shop, tmp_path]):
            monkeypatch.chdir(folder)
            store = FeatureStore(repo_path=str(shop))
            if number == 0:
                store.apply([feast_shop.user, feast_shop.visits])
                _write(store, "visits", datetime.now(UTC), user_id="ann", score=4.0)
            assert answers(store, "visits:score", {"user_id": "ann"}) == [(4.0, "PRESENT")]
            lakes.add(lake_root(store.config))
    finally:
        embedded.stop(settings)

    assert lakes == {str(shop / ".larder" / "lake")}


def test_feast_is_told_which_values_are_missing_or_too_old(store: FeatureStore) -> None:
    _write(store, "visits", NOW - timedelta(minutes=11), user_id="old", score=9.0)
    two = pd.DataFrame([{"user_id": "nil", "score": None}, {"user_id": "bob", "score": 1.0}]).assign(
        event_timestamp=NOW
    )
    store.write_to_online_store("visits", two)

    assert answers(store, "visits:score", *({"user_id": name} for name in ("ann", "eve", "old", "nil"))) == [
        (4.0, "PRESENT"),
        (None, "NOT_FOUND"),
        (None, "OUTSIDE_MAX_AGE"),
        (None, "NULL_VALUE"),
    ]


def test_each_value_comes_with_its_event_timestamp_even_when_it_is_withheld(store: FeatureStore) -> None:
    _write(store, "visits", NOW - timedelta(minutes=11, microseconds=1), user_id="old", score=9.0)

    answer = store.get_online_features(["visits:score"], [{"user_id": name} for name in ("ann", "eve", "old")])

    stamps = answer.proto.results[list(answer.proto.metadata.feature_names.val).index("score")].event_timestamps
    assert [stamp.ToDatetime(UTC) for stamp in stamps] == [
        NOW,
        datetime(1970, 1, 1, tzinfo=UTC),
        NOW - timedelta(minutes=11, microseconds=1),
    ]


def test_a_value_is_too_old_only_after_its_ttl(store: FeatureStore) -> None:
    _write(store, "visits", NOW - timedelta(minutes=10), user_id="ten", score=1.0)
    _write(store, "visits", NOW - timedelta(minutes=10, microseconds=1), user_id="old", score=1.0)

    assert answers(store, "visits:score", {"user_id": "ten"}, {"user_id": "old"}) == [
        (1.0, "PRESENT"),
        (None, "OUTSIDE_MAX_AGE"),
    ]


def test_a_service_with_request_data_agrees_with_the_reader(store: FeatureStore, redis_client: redis.Redis) -> None:
    requests = [{"user_id": name, "shop_id": 7, "basket_price": -10.0} for name in ("ann", "eve")]
    plan = feature_plan(store, "offers")

    rows = FeatureReader(plan, redis_client, lambda: NOW).read(requests)

    names = [column.name for column in plan.columns]
    assert names == ["price_per_score", "level", "points", "score", "mean_price"]
    assert rows.values == [[2.5, "gold", 12, 4.0, 2.5], [None, None, None, None, 2.5]]
    feast = _online(store, store.get_feature_service("offers"), *requests)
    assert [[row[name] for name in names] for row in feast] == rows.values


def test_late_and_future_writes_through_feast_change_nothing(store: FeatureStore) -> None:
    _write(store, "visits", NOW - timedelta(minutes=1), user_id="ann", score=1.0)
    _write(store, "visits", NOW + timedelta(days=1), user_id="ann", score=2.0)

    assert _online(store, ["visits:score"], {"user_id": "ann"})[0]["score"] == 4.0


def test_a_correction_with_a_newer_created_timestamp_wins(store: FeatureStore) -> None:
    view = store.get_feature_view("visits")
    plan_rows = [(5.0, NOW + timedelta(seconds=9)), (6.0, NOW + timedelta(seconds=3))]
    for score, created in plan_rows:
        store._get_provider().online_write_batch(
            store.config, view, [(_key("ann"), {"score": _double(score)}, NOW, created)], None
        )

    assert _online(store, ["visits:score"], {"user_id": "ann"})[0]["score"] == 5.0


def _key(user: str) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)])


def _double(number: float) -> Any:
    from feast.protos.feast.types.Value_pb2 import Value

    return Value(double_val=number)


def test_applying_without_a_view_deletes_its_data_only(store: FeatureStore, redis_client: redis.Redis) -> None:
    store.apply([], objects_to_delete=[feast_shop.offers, feast_shop.relative, feast_shop.visits], partial=False)

    assert [count_entities(redis_client, "shop", name) for name in ("visits", "loyalty", "overall")] == [0, 1, 1]


def test_teardown_empties_the_project(store: FeatureStore, redis_client: redis.Redis) -> None:
    """Feast 0.67 names no stream view where it tears down, and no view that is gone from the registry."""
    redis_client.set("somebody else's", "1")
    pushed = PushSource(name="pushed", batch_source=feast_shop.source("pushed_rows"))
    key, score = Field(name="user_id", dtype=String), Field(name="score", dtype=Float64)
    streamed = StreamFeatureView(name="streamed", entities=[feast_shop.user], schema=[key, score], source=pushed)
    store.apply([pushed, streamed])
    _write(store, "streamed", NOW, user_id="ann", score=1.0)
    assert count_entities(redis_client, "shop", "streamed") == 1

    store.teardown()

    assert redis_client.keys() == [b"somebody else's"]


def test_a_type_that_cannot_be_stored_is_refused_at_apply(store: FeatureStore) -> None:
    tags = feast_shop.view("tags", [feast_shop.user], Field(name="weights", dtype=Struct({"a": ScalarMap})))

    with pytest.raises(ConfigurationError, match=r"'weights' of view 'tags' has type struct<a:scalar_map>"):
        store.apply([tags])


def test_a_join_key_is_no_feature_also_where_the_registry_says_so(store: FeatureStore) -> None:
    """It does so of stream views."""
    view = store.get_feature_view("visits")

    with pytest.raises(ConfigurationError, match=r"'visits' is asked for \['user_id'\].*\['score'"):
        ViewLookup(stored_plan(view, store.config), view, ["score", "user_id"])
