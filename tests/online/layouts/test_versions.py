"""Versions of a view, each with records of its own."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from feast import FeatureService, FeatureStore, FeatureView, Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.online_response import OnlineResponse
from feast.types import Float64

from larder.contracts.settings import Settings
from larder.online.planning import feature_plan
from larder.online.reading.reader import FeatureReader
from larder.online.server.embedded import online_address
from tests.online import feast_shop
from tests.online.feast_shop import user, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ANN = {"user_id": "ann"}


@pytest.fixture
def versioned(
    tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> FeatureStore:
    """A project that keeps each version of a view online, over an empty Redis; the clock stands at noon."""
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    address = online_address(redis_settings)
    store = feast_shop.project_store(
        tmp_path, "shop", {"type": "larder.online.RedisOnlineStore", "connection_string": address}
    )
    store.config.registry.enable_online_feature_view_versioning = True
    return FeatureStore(config=store.config)


def test_each_version_of_a_view_has_records_of_its_own(versioned: FeatureStore, redis_client: redis.Redis) -> None:
    def version(*names: str) -> FeatureView:
        return feast_shop.view("visits", [user], *(Field(name=name, dtype=Float64) for name in names))

    versioned.apply([user, version("score")])
    write(versioned, "visits", NOW, user_id="ann", score=1.0)
    versioned.apply([version("score", "length")])
    versioned.apply([version("score", "length", "width")])
    write(versioned, "visits", NOW, user_id="ann", score=2.0, length=3.0, width=4.0)

    references = ["visits:score", "visits@v0:score", "visits@v1:score", "visits@v2:score"]
    found = {name: versioned.get_online_features([name], [ANN], full_feature_names=True) for name in references}

    values = [next(v for n, v in answer.to_dict().items() if n != "user_id") for answer in found.values()]
    assert values == [[2.0], [1.0], [None], [2.0]]
    together = versioned.get_online_features(references, [ANN], full_feature_names=True).to_dict()
    assert list(together.values())[1:] == values
    assert redis_client.dbsize() == 2

    versioned.apply([], objects_to_delete=[versioned.get_feature_view("visits")], partial=False)
    assert redis_client.dbsize() == 0


def test_a_service_is_answered_from_the_version_that_it_names_and_else_from_the_current_one(
    versioned: FeatureStore, redis_client: redis.Redis
) -> None:
    def visits(*names: str) -> FeatureView:
        return feast_shop.view("visits", [user], *(Field(name=name, dtype=Float64) for name in names))

    @on_demand_feature_view(sources=[visits("score")], mode="python", schema=[Field(name="double", dtype=Float64)])
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"double": [score and 2 * score for score in inputs["score"]]}

    versioned.apply([user, visits("score")])
    write(versioned, "visits", NOW, user_id="ann", score=1.0)
    versioned.apply([visits("score", "length"), doubled])
    write(versioned, "visits", NOW, user_id="ann", score=2.0, length=3.0)
    features = {"old": "visits@v0:score", "new": "visits:score", "computed": "doubled:double"}
    versioned.apply([FeatureService(name=name, features=[reference]) for name, reference in features.items()])

    for name, value in {"old": 1.0, "new": 2.0, "computed": 4.0}.items():
        service, feature = versioned.get_feature_service(name), features[name].partition(":")[2]
        answers = [
            versioned.get_online_features(service, [ANN]).to_dict(),
            asyncio.run(_asynchronously(versioned, service)).to_dict(),
        ]
        assert [answer[feature] for answer in answers] == [[value], [value]]
        assert FeatureReader(feature_plan(versioned, name), redis_client).read([ANN]).values == [[value]]


def test_deleting_a_view_that_is_pinned_to_an_old_version_deletes_the_newer_records_too(
    versioned: FeatureStore, redis_client: redis.Redis
) -> None:
    for names in (("score",), ("score", "length")):
        versioned.apply([user, feast_shop.view("visits", [user], *(Field(name=n, dtype=Float64) for n in names))])
    write(versioned, "visits", NOW, user_id="ann", score=1.0, length=2.0)
    pinned = versioned.get_feature_view("visits")
    pinned.version = "v0"
    versioned.apply([pinned])
    write(versioned, "visits", NOW, user_id="ann", score=3.0)
    assert redis_client.dbsize() == 2

    versioned.apply([], objects_to_delete=[versioned.get_feature_view("visits")], partial=False)

    assert redis_client.dbsize() == 0


def test_the_answer_names_the_versions_when_asked(versioned: FeatureStore) -> None:
    versioned.apply([user, feast_shop.view("visits", [user], Field(name="score", dtype=Float64))])
    versioned.apply([feast_shop.view("visits", [user], *(Field(name=n, dtype=Float64) for n in ("score", "length")))])

    features = ["visits:score", "visits:length"]
    response = versioned.get_online_features(features, [ANN], include_feature_view_version_metadata=True)

    assert [(view.name, view.version) for view in response.proto.metadata.feature_view_metadata] == [("visits", 1)]


async def _asynchronously(store: FeatureStore, service: FeatureService) -> OnlineResponse:
    response = await store.get_online_features_async(service, [ANN])
    await store._get_provider().online_store.close()
    return response
