"""The layout `larder` behind Feast's interface."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast import FeatureStore, Field
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, ScalarMap, Struct

from larder.contracts.errors import ConfigurationError, OnlineStoreError, UnsupportedError
from larder.contracts.settings import Settings
from larder.online.contents import count_entities
from larder.online.server.embedded import online_address
from tests.online import feast_shop
from tests.online.feast_shop import answers, user, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ANN, EVE = {"user_id": "ann"}, {"user_id": "eve"}


@pytest.fixture
def address(redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty Redis; the clock stands at noon."""
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    return online_address(redis_settings)


@pytest.fixture
def store(tmp_path: Path, address: str) -> FeatureStore:
    return feast_shop.applied_store(tmp_path, address)


def key(name: str) -> EntityKey:
    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=name)])


def rows_of(scores: dict[str, float]) -> list[tuple[EntityKey, dict[str, Value], datetime, None]]:
    return [(key(name), {"score": Value(double_val=score)}, NOW, None) for name, score in scores.items()]


def test_an_applied_change_is_seen_by_the_next_request(store: FeatureStore) -> None:
    write(store, "visits", NOW - timedelta(minutes=5), user_id="ann", score=4.0)
    assert answers(store, "visits:score", ANN) == [(4.0, "PRESENT")]

    shorter = feast_shop.view("visits", [user], Field(name="score", dtype=Float64), ttl=timedelta(minutes=1))
    store.apply([shorter])

    assert answers(store, "visits:score", ANN) == [(None, "OUTSIDE_MAX_AGE")]


def test_a_change_that_another_process_applied_is_seen_when_the_registry_is_read_again(
    store: FeatureStore, tmp_path: Path
) -> None:
    write(store, "visits", NOW - timedelta(minutes=5), user_id="ann", score=4.0)
    assert answers(store, "visits:score", ANN) == [(4.0, "PRESENT")]
    shorter = feast_shop.view("visits", [user], Field(name="score", dtype=Float64), ttl=timedelta(minutes=1))
    FeatureStore(config=store.config).apply([shorter])

    store.refresh_registry()

    assert answers(store, "visits:score", ANN) == [(None, "OUTSIDE_MAX_AGE")]


def test_rows_that_name_an_entity_twice_or_with_a_null_find_what_each_should(store: FeatureStore) -> None:
    write(store, "visits", NOW, user_id="ann", score=4.0)

    found = answers(store, "visits:score", EVE, ANN, {"user_id": None}, ANN)

    assert found == [(None, "NOT_FOUND"), (4.0, "PRESENT"), (None, "NOT_FOUND"), (4.0, "PRESENT")]


def test_full_names_and_aliases_keep_two_roles_of_one_view_apart(tmp_path: Path, address: str) -> None:
    buyer = feast_shop.visits.with_name("buyer").with_join_key_map({"user_id": "buyer_id"})
    seller = feast_shop.visits.with_name("seller").with_join_key_map({"user_id": "seller_id"})
    deal = feast_shop.FeatureService(name="deal", features=[buyer, seller])
    store = feast_shop.applied_store(tmp_path, address, user, feast_shop.visits, deal)
    write(store, "visits", NOW, user_id="ann", score=4.0)
    write(store, "visits", NOW, user_id="bob", score=5.0)

    found = store.get_online_features(deal, [{"buyer_id": "bob", "seller_id": "ann"}], full_feature_names=True)

    assert found.to_dict() == {
        "buyer_id": ["bob"],
        "seller_id": ["ann"],
        "buyer__score": [5.0],
        "seller__score": [4.0],
    }


def test_request_columns_may_be_given_as_lists(store: FeatureStore) -> None:
    write(store, "visits", NOW, user_id="ann", score=4.0)

    assert store.get_online_features(["visits:score"], {"user_id": ["eve", "ann"]}).to_dict()["score"] == [None, 4.0]


def test_the_async_interface_gives_the_same_answers_in_any_event_loop(store: FeatureStore) -> None:
    async def written_and_read(name: str) -> dict[str, Any]:
        frame = pd.DataFrame([{"user_id": name, "score": 4.0, "event_timestamp": NOW}])
        await store.write_to_online_store_async("visits", frame)
        response = await store.get_online_features_async(["visits:score"], [{"user_id": name}, EVE])
        view = store.get_feature_view("visits")
        online = store._get_provider().online_store
        rows = await online.online_read_async(store.config, view, [key(name), key("eve")])
        assert rows == online.online_read(store.config, view, [key(name), key("eve")])
        await store.close()
        return dict(response.to_dict())

    assert asyncio.run(written_and_read("ann")) == {"user_id": ["ann", "eve"], "score": [4.0, None]}
    assert asyncio.run(written_and_read("bob")) == {"user_id": ["bob", "eve"], "score": [4.0, None]}


def test_two_event_loops_that_run_at_once_have_a_connection_each(store: FeatureStore) -> None:
    write(store, "visits", NOW, user_id="ann", score=4.0)

    async def score() -> Any:
        return (await store.get_online_features_async(["visits:score"], [ANN])).to_dict()["score"]

    async def score_and_close() -> Any:
        found = await score()
        await store.close()
        return found

    async def both() -> list[Any]:
        first = await score()
        second = await asyncio.to_thread(asyncio.run, score_and_close())
        return [first, second, await score_and_close()]

    assert asyncio.run(both()) == [[4.0]] * 3


def test_an_event_loop_goes_on_while_redis_is_waited_for(store: FeatureStore, redis_client: redis.Redis) -> None:
    async def ticks_while_paused() -> int:
        await store.get_online_features_async(["visits:score"], [ANN])
        redis_client.client_pause(500)
        request = asyncio.create_task(store.get_online_features_async(["visits:score"], [ANN]))
        ticks = 0
        while not request.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await store.close()
        return ticks

    assert asyncio.run(ticks_while_paused()) > 5


def test_a_burst_is_answered_though_its_work_takes_longer_than_redis_may(tmp_path: Path, address: str) -> None:
    store = feast_shop.applied_store(tmp_path, address, read_timeout_seconds=0.5)
    write(store, "visits", NOW, user_id="ann", score=4.0)

    async def scores() -> list[Any]:
        requests = [store.get_online_features_async(["visits:score"], [ANN]) for _ in range(1500)]
        found = [response.to_dict()["score"] for response in await asyncio.gather(*requests)]
        await store.close()
        return found

    assert asyncio.run(scores()) == [[4.0]] * 1500


def test_start_up_finds_a_redis_that_does_not_answer(tmp_path: Path, own_redis: Settings) -> None:
    from larder.online.server.embedded import start, stop

    store = feast_shop.applied_store(tmp_path, start(own_redis), user, feast_shop.visits)
    asyncio.run(store.initialize())
    stop(own_redis)

    with pytest.raises(OnlineStoreError, match="does not answer"):
        asyncio.run(FeatureStore(config=store.config).initialize())


def test_nothing_is_written_to_a_redis_that_would_drop_it(store: FeatureStore, redis_client: redis.Redis) -> None:
    redis_client.config_set("maxmemory", "500mb")
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(OnlineStoreError, match="would lose features"):
            write(store, "visits", NOW, user_id="ann", score=4.0)
        with pytest.raises(OnlineStoreError, match="would lose features"):
            asyncio.run(store.initialize())
        assert redis_client.dbsize() == 0
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
        redis_client.config_set("maxmemory", "0")


def test_plan_refuses_what_apply_would_refuse(store: FeatureStore) -> None:
    weights = Field(name="weights", dtype=Struct({"a": ScalarMap}))
    proto = store.registry.proto()
    assert store._get_provider().plan_infra(store.config, proto).infra_objects == []

    proto.feature_views.append(feast_shop.view("tags", [user], weights).to_proto())

    with pytest.raises(ConfigurationError, match="'weights' of view 'tags'"):
        store._get_provider().plan_infra(store.config, proto)


def test_vector_search_is_refused_in_one_sentence(store: FeatureStore) -> None:
    online, view = store._get_provider().online_store, store.get_feature_view("visits")

    with pytest.raises(UnsupportedError, match="has no vector search"):
        online.retrieve_online_documents(store.config, view, ["score"], [1.0], 3)
    with pytest.raises(NotImplementedError, match="has no vector search"):
        online.retrieve_online_documents_v2(store.config, view, ["score"], [1.0], 3)


def test_without_online_versions_there_is_one_record_per_entity(store: FeatureStore, redis_client: redis.Redis) -> None:
    write(store, "visits", NOW, user_id="ann", score=1.0)
    store.apply([feast_shop.view("visits", [user], *(Field(name=n, dtype=Float64) for n in ("score", "length")))])
    write(store, "visits", NOW, user_id="ann", score=2.0, length=3.0)

    assert count_entities(redis_client, "shop", "visits") == redis_client.dbsize() == 1
    assert answers(store, "visits:length", ANN) == [(3.0, "PRESENT")]


def test_one_server_serves_two_configurations_of_one_object(tmp_path: Path, address: str, own_redis: Settings) -> None:
    """Feast hands the configuration over with each call."""
    from larder.online.server.embedded import start

    stores = [
        feast_shop.applied_store(tmp_path / "one", address, user, feast_shop.visits),
        feast_shop.applied_store(tmp_path / "two", start(own_redis), user, feast_shop.visits),
    ]
    online, view = stores[0]._get_provider().online_store, stores[0].get_feature_view("visits")
    for store, score in zip(stores, (1.0, 2.0), strict=True):
        online.online_write_batch(store.config, view, rows_of({"ann": score}), None)

    assert [answers(store, "visits:score", ANN) for store in stores] == [[(1.0, "PRESENT")], [(2.0, "PRESENT")]]
