"""`layout: feast`: what one store writes the other reads, whichever of them is Feast's own."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from feast import FeatureStore

from larder.contracts.errors import ConfigurationError, OnlineStoreError
from larder.contracts.settings import Settings
from larder.online.server.embedded import online_address, start, stop
from tests.online import feast_shop
from tests.online.feast_shop import answers, user, visits, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
ANN = {"user_id": "ann"}
HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def stores(tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis) -> tuple[FeatureStore, FeatureStore]:
    """Ours in Feast's layout, and Feast's own, of one project on one server."""
    address = online_address(redis_settings)
    return (
        feast_shop.applied_store(tmp_path / "ours", address, layout="feast"),
        feast_shop.feasts_store(tmp_path / "feasts", address),
    )


def test_each_store_reads_what_the_other_wrote(
    stores: tuple[FeatureStore, FeatureStore], redis_client: redis.Redis
) -> None:
    ours, feasts = stores
    write(ours, "visits", now(), user_id="ann", score=4.0)
    write(feasts, "loyalty", now(), user_id="ann", shop_id=7, points=12, since=now(), level="gold")

    for store in stores:
        assert answers(store, "visits:score", ANN) == [(4.0, "PRESENT")]
        assert answers(store, "loyalty:level", {"user_id": "ann", "shop_id": 7}) == [("gold", "PRESENT")]
    assert {redis_client.type(key) for key in redis_client.scan_iter()} == {b"hash"}


def test_the_statuses_are_feasts(stores: tuple[FeatureStore, FeatureStore]) -> None:
    write(stores[0], "visits", now() - HOUR, user_id="ann", score=4.0)

    for store in stores:
        assert answers(store, "visits:score", ANN, {"user_id": "eve"}) == [(4.0, "PRESENT"), (None, "PRESENT")]


def test_the_async_interface_reads_and_writes_feasts_layout(stores: tuple[FeatureStore, FeatureStore]) -> None:
    import pandas as pd

    async def written_and_read() -> object:
        row = pd.DataFrame([{"user_id": "ann", "score": 4.0, "event_timestamp": now()}])
        await stores[0].write_to_online_store_async("visits", row)
        response = await stores[0].get_online_features_async(["visits:score"], [ANN])
        await stores[0].close()
        return response.to_dict()["score"]

    assert asyncio.run(written_and_read()) == [4.0]
    assert answers(stores[1], "visits:score", ANN) == [(4.0, "PRESENT")]


def test_deleting_a_view_deletes_its_fields(
    stores: tuple[FeatureStore, FeatureStore], redis_client: redis.Redis
) -> None:
    ours, feasts = stores
    write(feasts, "visits", now(), user_id="ann", score=4.0)

    ours.apply([], objects_to_delete=[feast_shop.offers, feast_shop.relative, visits], partial=False)

    assert redis_client.dbsize() == 0


def test_a_redis_that_does_not_answer_is_one_sentence_here_too(tmp_path: Path, own_redis: Settings) -> None:
    store = feast_shop.applied_store(tmp_path, start(own_redis), user, visits, layout="feast")
    stop(own_redis)

    with pytest.raises(OnlineStoreError, match=r"a%20state/redis/.* does not answer"):
        answers(store, "visits:score", ANN)


def test_an_unknown_layout_is_refused(tmp_path: Path, redis_settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="layout is 'hash'"):
        feast_shop.applied_store(tmp_path, online_address(redis_settings), user, visits, layout="hash")
