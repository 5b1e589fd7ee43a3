"""Answers that never were protobuf are those that Feast makes of its protobuf."""

import asyncio
import decimal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
import redis
from feast import FeatureStore, Field
from feast.infra.online_stores.online_store import OnlineStore
from feast.online_response import OnlineResponse
from feast.types import Array, Bool, Decimal, Float32, Float64, Int32, Int64, Set, String, UnixTimestamp, Uuid

from larder.contracts.errors import InvalidDataError
from larder.contracts.settings import Settings
from larder.online.layouts.response import StoredResponse
from larder.online.planning import stored_plan
from larder.online.server.embedded import online_address
from larder.online.writing.writer import write_records
from tests.online import feast_shop
from tests.online.feast_shop import shop, user, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)

TYPES = {"f64": Float64, "f32": Float32, "i64": Int64, "i32": Int32, "flag": Bool, "text": String}
profile = feast_shop.view("profile", [user], *(Field(name=name, dtype=dtype) for name, dtype in TYPES.items()))
visits = feast_shop.view("visits", [user], Field(name="score", dtype=Float64), ttl=timedelta(minutes=10))
loyalty = feast_shop.view("loyalty", [user, shop], Field(name="points", dtype=Int64), Field(name="level", dtype=String))
overall = feast_shop.view("overall", [], Field(name="mean_price", dtype=Float64))
OTHER_TYPES = {"joined_at": UnixTimestamp, "key": Uuid, "sizes": Array(Float64), "seen": Set(Int64), "price": Decimal}
others = feast_shop.view("others", [user], *(Field(name=name, dtype=dtype) for name, dtype in OTHER_TYPES.items()))
everything = feast_shop.FeatureService(name="everything", features=[loyalty, profile, others, overall, visits])
deal = feast_shop.FeatureService(
    name="deal",
    features=[
        visits.with_name("buyer").with_join_key_map({"user_id": "buyer_id"}),
        visits.with_name("seller").with_join_key_map({"user_id": "seller_id"}),
    ],
)
USERS = ("ann", "bob", "old", "eve")


@pytest.fixture
def store(
    tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> FeatureStore:
    """Ann has everything, Bob nulls and odd numbers, Old what is too old, Eve nothing."""
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    applied = (user, shop, profile, visits, loyalty, overall, others, everything, deal)
    store = feast_shop.applied_store(tmp_path, online_address(redis_settings), *applied)
    ann = {"f64": 0.1, "f32": 0.1, "i64": 2**53 + 1, "i32": -7, "flag": True, "text": "Å\x00"}
    write(store, "profile", NOW, user_id="ann", **ann)
    write(store, "profile", NOW, user_id="bob", **ann | {"f64": float("nan"), "f32": -0.0, "text": ""})
    write(store, "profile", NOW, user_id="old", **ann | {"f64": None, "flag": False, "text": None})
    write(store, "visits", NOW, user_id="ann", score=4.0)
    write(store, "visits", NOW - timedelta(hours=1), user_id="old", score=5.0)
    write(store, "loyalty", NOW, user_id="ann", shop_id=1, points=3, level="gold")
    write(store, "overall", NOW, mean_price=2.5)
    other = {
        "joined_at": NOW,
        "key": str(UUID(int=1)),
        "sizes": [0.5, 1.0],
        "seen": {3},
        "price": decimal.Decimal("1.10"),
    }
    write(store, "others", NOW, user_id="ann", **other)
    return store


ROWS = [{"user_id": name, "shop_id": 1} for name in (*USERS, "ann")] + [{"user_id": None, "shop_id": 2}]
REQUESTS: dict[str, tuple[Any, Any, bool]] = {
    "service": (everything, ROWS, False),
    "full names": (everything, ROWS, True),
    "one row": (everything, ROWS[:1], False),
    "columns": (["profile:f32", "visits:score"], {"user_id": list(USERS)}, False),
    "two roles": (deal, [{"buyer_id": a, "seller_id": b} for a in USERS for b in USERS], True),
    "no entities": (["overall:mean_price"], [{}, {}], False),
    "keys that nobody needs": (["overall:mean_price"], [{"user_id": "ann"}], False),
    "keys as other types": (
        ["loyalty:points"],
        [{"user_id": "ann", "shop_id": "1"}, {"user_id": 7, "shop_id": 1.0}],
        False,
    ),
}


def by_feast(store: FeatureStore, features: Any, rows: Any, *, is_full: bool) -> OnlineResponse:
    """Through the whole of Feast's own method, with a protobuf from the first step."""
    layout = store._get_provider().online_store._packed  # which exists once something was written
    columns = rows if isinstance(rows, dict) else rows if rows[0] else {"__dummy_id": [""] * len(rows)}
    return OnlineStore.get_online_features(layout, store.config, features, columns, store.registry, "shop", is_full)


@pytest.mark.parametrize("request_name", REQUESTS)
def test_an_answer_is_what_feast_makes_of_it(store: FeatureStore, request_name: str) -> None:
    features, rows, is_full = REQUESTS[request_name]

    def asked() -> OnlineResponse:
        return store.get_online_features(features, rows, full_feature_names=is_full)

    expected = by_feast(store, features, rows, is_full=is_full)

    assert isinstance(asked(), StoredResponse)
    assert asked().proto == expected.proto
    # By their text: NaN equals nothing, and 1 equals 1.0 and True.
    assert repr(asked().to_dict()) == repr(expected.to_dict())
    assert repr(asked().to_dict(include_event_timestamps=True)) == repr(expected.to_dict(include_event_timestamps=True))
    assert asked().to_df().equals(expected.to_df())
    assert repr(asked().to_arrow()) == repr(expected.to_arrow())


def test_the_async_interface_answers_the_same(store: FeatureStore) -> None:
    async def asked() -> OnlineResponse:
        response = await store.get_online_features_async(everything, ROWS)
        await store.close()
        return response

    expected = store.get_online_features(everything, ROWS)

    assert repr(asyncio.run(asked()).to_dict()) == repr(expected.to_dict())
    assert asyncio.run(asked()).proto == expected.proto


def test_who_changes_the_protobuf_sees_the_change(store: FeatureStore) -> None:
    response = store.get_online_features(["visits:score"], [{"user_id": "ann"}])
    response.proto.results[1].values[0].double_val = 9.0

    assert response.to_dict() == {"user_id": ["ann"], "score": [9.0]}


def test_a_null_that_feast_cannot_say_is_told_by_the_request_itself(store: FeatureStore, tmp_path: Path) -> None:
    tags = feast_shop.view("tags", [user], Field(name="words", dtype=Array(String)))
    store.apply([tags])
    rows = pa.table(
        {"user_id": ["ann"], "words": [["new", None]], "event_timestamp": pa.array([NOW], pa.timestamp("us", "UTC"))}
    ).append_column("known_at", pa.array([NOW], pa.timestamp("us", "UTC")))
    write_records(store._get_provider().online_store._clients.bulk, stored_plan(tags, store.config), "shop", rows)

    with pytest.raises(InvalidDataError, match="tags:words"):
        store.get_online_features(["tags:words"], [{"user_id": "ann"}])
