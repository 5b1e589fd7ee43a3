"""Facts that Feast's own Redis store gets wrong, and that must be right here: FACTS 1-3, 5-7 and 15-17.

Each test does the same to both stores on one server through Feast's interface, and asserts what each of them answers.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast import FeatureService, FeatureStore, FeatureView, Field, PushSource
from feast.data_source import PushMode
from feast.types import Float64

from larder.contracts.errors import ConfigurationError, OnlineStoreError
from larder.contracts.settings import Settings
from larder.online.server.connection import connect
from larder.online.server.embedded import online_address, start, stop
from larder.online.writing import scripts
from tests.online import feast_shop
from tests.online.feast_shop import answers, user, visits, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
ANN = {"user_id": "ann"}
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Stores:
    """The same project twice; `visits` has a ttl of ten minutes."""

    ours: FeatureStore
    feasts: FeatureStore

    def __iter__(self) -> Iterator[FeatureStore]:
        return iter((self.ours, self.feasts))


StoresOf = Callable[..., Stores]


@pytest.fixture
def stores_of(
    tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> StoresOf:
    """Makes both stores of a project on an empty server, with the views of the shop or other objects."""
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))  # away from the checkout, whose .env holds a replay clock
    address = online_address(redis_settings)

    def stores(*objects: Any, project: str = "shop") -> Stores:
        return Stores(
            feast_shop.applied_store(tmp_path / "ours", address, *objects, project=project),
            feast_shop.feasts_store(tmp_path / "feasts", address, *objects, project=project),
        )

    return stores


def both(stores: Stores, feature: str = "visits:score", *rows: dict[str, Any]) -> list[list[tuple[Any, str]]]:
    """What ours and what Feast's answers."""
    return [answers(store, feature, *(rows or (ANN,))) for store in stores]


def now() -> datetime:
    """The present to the second; Feast's store knows no other clock than the system's."""
    return datetime.now(UTC).replace(microsecond=0)


def test_fact_1_an_expired_value_is_withheld_and_said_to_be_too_old(stores_of: StoresOf) -> None:
    stores = stores_of()
    for store in stores:
        write(store, "visits", now() - HOUR, user_id="ann", score=4.0)

    assert both(stores) == [[(None, "OUTSIDE_MAX_AGE")], [(4.0, "PRESENT")]]


def test_fact_2_an_unknown_entity_is_not_found(stores_of: StoresOf) -> None:
    assert both(stores_of()) == [[(None, "NOT_FOUND")], [(None, "PRESENT")]]


def test_fact_2_in_an_emptied_redis_nothing_is_found(stores_of: StoresOf, redis_client: redis.Redis) -> None:
    stores = stores_of()
    for store in stores:
        write(store, "visits", now(), user_id="ann", score=4.0)
    assert both(stores) == [[(4.0, "PRESENT")], [(4.0, "PRESENT")]]

    redis_client.flushall()

    assert both(stores) == [[(None, "NOT_FOUND")], [(None, "PRESENT")]]


def test_fact_3_a_correction_with_the_same_event_timestamp_wins(stores_of: StoresOf) -> None:
    """The source of `visits` needs a created timestamp for that."""
    source = feast_shop.source("corrected_rows")
    source.created_timestamp_column = "created"
    key, score = Field(name="user_id", dtype=feast_shop.String), Field(name="score", dtype=Float64)
    view = FeatureView(name="visits", entities=[user], schema=[key, score], source=source)
    stores, event = stores_of(user, view), now()
    for store in stores:
        for score_seen, minutes in ((1.0, 0), (2.0, 1)):
            row = {"user_id": "ann", "score": score_seen, "event_timestamp": event}
            created = event + timedelta(minutes=minutes)
            store.write_to_online_store("visits", pd.DataFrame([row | {"created": created}]))

    assert both(stores) == [[(2.0, "PRESENT")], [(1.0, "PRESENT")]]


def test_fact_5_a_write_that_is_overtaken_does_not_bring_the_older_value_back(
    stores_of: StoresOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes a later row at every instant between two round trips of a slow writer."""
    stores, event = stores_of(), now()
    final: list[set[float]] = []
    for store in stores:
        seen = set()
        for moment in range(4):
            name = f"user {moment}"
            with monkeypatch.context() as patch:
                _interrupt(patch, moment, lambda: write(store, "visits", event, user_id=name, score=2.0))  # noqa: B023
                write(store, "visits", event - timedelta(seconds=1), user_id=name, score=1.0)
            write(store, "visits", event - HOUR, user_id=name, score=0.0)
            seen.add(answers(store, "visits:score", {"user_id": name})[0][0])
        final.append(seen)

    assert final[0] <= {1.0, 2.0} and 1.0 in final[1]
    ours_last = [answers(stores.ours, "visits:score", {"user_id": f"user {moment}"})[0][0] for moment in range(2)]
    assert ours_last == [2.0, 2.0]


ROUND_TRIPS = ((redis.client.Pipeline, "execute"), (scripts, "pipelined"))
"""By which Feast's store and this one send many commands at once."""


def _interrupt(patch: pytest.MonkeyPatch, moment: int, other: Callable[[], None]) -> None:
    """Call `other` before the first round trip of a write (0), after it (1), before the second (2), and so on."""
    calls, undisturbed = iter(range(0, 1_000, 2)), [(owner, name, getattr(owner, name)) for owner, name in ROUND_TRIPS]

    def at_last() -> None:
        for owner, name, trip in undisturbed:
            patch.setattr(owner, name, trip)
        other()

    def interrupted(trip: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            before = next(calls)
            if before == moment:
                at_last()
            answer = trip(*arguments, **options)
            if before + 1 == moment:
                at_last()
            return answer

        return call

    for owner, name, trip in undisturbed:
        patch.setattr(owner, name, interrupted(trip))


@pytest.mark.parametrize("way", ["teardown", "apply"])
def test_fact_6_deleting_a_view_leaves_the_project_whose_name_ends_alike(stores_of: StoresOf, way: str) -> None:
    deleted, kept = stores_of(user, visits, project="b"), stores_of(user, visits, project="ab")
    for stores in (deleted, kept):
        for store in stores:
            write(store, "visits", now(), user_id="ann", score=4.0)

    for store in deleted:
        if way == "teardown":
            store.teardown()
        else:
            store.apply([], objects_to_delete=[store.get_feature_view("visits")], partial=False)

    assert both(kept) == [[(4.0, "PRESENT")], [(None, "PRESENT")]]
    deleted.ours.apply([user, visits])
    assert answers(deleted.ours, "visits:score", ANN) == [(None, "NOT_FOUND")]


def test_fact_7_a_row_of_tomorrow_does_not_freeze_its_entity(stores_of: StoresOf) -> None:
    pushed = PushSource(name="pushed_visits", batch_source=feast_shop.source("pushed_rows"))
    key, score = Field(name="user_id", dtype=feast_shop.String), Field(name="score", dtype=Float64)
    stores = stores_of(user, pushed, FeatureView(name="visits", entities=[user], schema=[key, score], source=pushed))
    for store in stores:
        for value, at in ((99.0, now() + timedelta(days=1)), (4.0, now())):
            rows = pd.DataFrame([{"user_id": "ann", "score": value, "event_timestamp": at}])
            store.push("pushed_visits", rows, to=PushMode.ONLINE)

    assert both(stores) == [[(4.0, "PRESENT")], [(99.0, "PRESENT")]]


def test_fact_15_a_hung_redis_delays_a_read_by_its_time_out_only(tmp_path: Path, own_redis: Settings) -> None:
    address = start(own_redis)
    ours = feast_shop.applied_store(tmp_path / "ours", address, user, visits, read_timeout_seconds=0.1)
    feasts = feast_shop.feasts_store(tmp_path / "feasts", address, user, visits)
    for store in (ours, feasts):
        answers(store, "visits:score", ANN)
    client = connect(address, timeout_seconds=10)

    client.client_pause(4_000)
    before = time.monotonic()
    with pytest.raises(OnlineStoreError, match="does not answer"):
        answers(ours, "visits:score", ANN)
    waited = time.monotonic() - before
    answers(feasts, "visits:score", ANN)

    assert waited < 2 < time.monotonic() - before


def test_fact_15_an_absent_redis_is_said_to_be_absent_at_once(tmp_path: Path, own_redis: Settings) -> None:
    ours = feast_shop.applied_store(tmp_path / "ours", start(own_redis), user, visits)
    stop(own_redis)

    before = time.monotonic()
    with pytest.raises(OnlineStoreError, match=r"a%20state/redis/.* does not answer"):
        answers(ours, "visits:score", ANN)
    assert time.monotonic() - before < 2


def wide_views() -> tuple[list[FeatureView], list[str]]:
    """Five views of one entity with ten numbers each, and their fifty references."""
    views = [
        feast_shop.view(f"view_{v}", [user], *(Field(name=f"f_{v}_{i}", dtype=Float64) for i in range(10)))
        for v in range(5)
    ]
    return views, [f"{view.name}:{field.name}" for view in views for field in view.features]


def test_fact_16_a_request_is_one_command_whatever_the_number_of_views_and_rows(
    stores_of: StoresOf, redis_client: redis.Redis
) -> None:
    views, features = wide_views()
    stores, rows = stores_of(user, *views), [{"user_id": f"user {number}"} for number in range(20)]
    commands = []
    for store in stores:
        store.get_online_features(features, rows)
        before = redis_client.info("stats")["total_commands_processed"]
        store.get_online_features(features, rows)
        commands.append(redis_client.info("stats")["total_commands_processed"] - before - 1)

    assert commands == [1, 100]


def test_fact_17_a_service_that_wants_to_be_precomputed_is_refused(stores_of: StoresOf) -> None:
    """With Feast's store its values are those of the last time that somebody rebuilt all of them."""
    service = FeatureService(name="ready", features=[visits], precompute_online=True)
    stores = stores_of(user, visits, service)
    for score in (1.0, 2.0):
        write(stores.feasts, "visits", now() + timedelta(seconds=score), user_id="ann", score=score)
        if score == 1.0:
            stores.feasts.precompute_feature_service("ready")

    found = stores.feasts.get_online_features(service, [ANN], full_feature_names=True).to_dict()
    assert found["visits__score"] == [1.0]
    with pytest.raises(ConfigurationError, match="'ready' has precompute_online=True"):
        stores.ours.get_online_features(service, [ANN])
    with pytest.raises(ConfigurationError, match="'ready' has precompute_online=True"):
        stores.ours._get_provider().plan_infra(stores.ours.config, stores.ours.registry.proto())


def test_fact_17_deduplication_cannot_be_skipped(tmp_path: Path, redis_settings: Settings, redis_client: redis.Redis):
    with pytest.raises(Exception, match="skip_dedup"):
        feast_shop.applied_store(tmp_path, online_address(redis_settings), user, visits, skip_dedup=True)
