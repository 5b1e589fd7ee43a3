from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from click.testing import CliRunner
from feast import FeatureStore, Field, PushSource, StreamFeatureView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, String

from larder.cli import larder
from larder.contracts.settings import Settings
from larder.online.layouts.migration import delete_migrated, entity_of, migrated, totals
from larder.online.server.embedded import online_address
from tests.online import feast_shop
from tests.online.feast_shop import answers, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
USERS = [{"user_id": name} for name in ("ann", "bob", "eve")]


@pytest.fixture
def address(redis_settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty Redis; the clock stands at noon."""
    monkeypatch.setenv("LARDER_CLOCK", NOW.isoformat())
    return online_address(redis_settings)


def fill(store: FeatureStore, factor: float) -> None:
    """Rows in Feast's layout: two users in one view, one of them in another, one row without entity."""
    for name, score in (("ann", 1.0), ("bob", 2.0)):
        write(store, "visits", NOW, user_id=name, score=score * factor)
    write(store, "loyalty", NOW, user_id="ann", shop_id=7, points=int(factor), since=NOW, level=f"level {factor}")
    write(store, "overall", NOW, mean_price=factor)


def migrate(store: FeatureStore, client: redis.Redis, *, now: datetime = NOW) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for batch in migrated(store, client, client, now=now):
        name = batch.view.view.name
        counts[name] = counts.get(name, Counter()) + totals(batch, 0)
    return counts


def hashes(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.hgetall(key) for key in client.scan_iter() if client.type(key) == b"hash"}


def test_each_project_gets_its_own_values_and_feasts_keys_stay(
    tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    for project, factor in (("b", 1.0), ("ab", 10.0)):
        fill(feast_shop.feasts_store(tmp_path / "feast", address, project=project), factor)
    before = hashes(redis_client)
    ours = feast_shop.applied_store(tmp_path / "ours", address, project="b")

    counts = migrate(ours, redis_client)

    assert counts == {"visits": Counter(written=2), "loyalty": Counter(written=1), "overall": Counter(written=1)}
    assert answers(ours, "visits:score", *USERS) == [(1.0, "PRESENT"), (2.0, "PRESENT"), (None, "NOT_FOUND")]
    assert answers(ours, "overall:mean_price", *USERS[:1]) == [(1.0, "PRESENT")]
    assert answers(ours, "loyalty:level", {"user_id": "ann", "shop_id": 7}) == [("level 1.0", "PRESENT")]
    assert answers(ours, "loyalty:since", {"user_id": "ann", "shop_id": 7}) == [(NOW, "PRESENT")]
    assert hashes(redis_client) == before
    other = feast_shop.applied_store(tmp_path / "ours", address, project="ab")
    assert answers(other, "visits:score", *USERS[:1]) == [(None, "NOT_FOUND")]


def test_deleting_the_old_rows_leaves_the_project_whose_name_ends_alike(
    tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    fill(feast_shop.feasts_store(tmp_path / "feast", address, project="ab"), 10.0)
    others = hashes(redis_client)
    fill(feast_shop.feasts_store(tmp_path / "feast", address, project="b"), 1.0)
    ours = feast_shop.applied_store(tmp_path / "ours", address, project="b")

    deleted = [delete_migrated(redis_client, batch) for batch in migrated(ours, redis_client, redis_client, now=NOW)]

    assert sum(deleted) == 4
    assert hashes(redis_client) == others


def test_a_row_that_changes_after_it_was_read_is_not_deleted(
    tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    feast = feast_shop.feasts_store(tmp_path / "feast", address)
    write(feast, "visits", NOW - timedelta(minutes=1), user_id="ann", score=1.0)
    ours = feast_shop.applied_store(tmp_path / "ours", address)
    (batch,) = migrated(ours, redis_client, redis_client, now=NOW)

    write(feast, "visits", NOW, user_id="ann", score=2.0)

    assert delete_migrated(redis_client, batch) == 0
    assert migrate(ours, redis_client) == {"visits": Counter(written=1)}
    assert answers(ours, "visits:score", *USERS[:1]) == [(2.0, "PRESENT")]


def test_a_view_that_is_not_migrated_keeps_its_fields(tmp_path: Path, address: str, redis_client: redis.Redis) -> None:
    feast = feast_shop.feasts_store(tmp_path / "feast", address)
    fill(feast, 1.0)
    ours = feast_shop.applied_store(tmp_path / "ours", address, feast_shop.user, feast_shop.visits)

    for batch in migrated(ours, redis_client, redis_client, now=NOW):
        delete_migrated(redis_client, batch)

    assert answers(feast, "loyalty:points", {"user_id": "ann", "shop_id": 7}) == [(1, "PRESENT")]
    assert answers(feast, "visits:score", *USERS[:1]) == [(None, "PRESENT")]


def test_stream_views_and_stored_on_demand_views_move_and_leave_nothing_behind(
    tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    """Feast stores the join keys of both as features, too, and what it computes under the present instant."""
    key, score = Field(name="user_id", dtype=String), Field(name="score", dtype=Float64)
    pushed = PushSource(name="pushed", batch_source=feast_shop.source("pushed_rows"))
    streamed = StreamFeatureView(name="streamed", entities=[feast_shop.user], schema=[key, score], source=pushed)

    @on_demand_feature_view(
        sources=[feast_shop.visits],
        entities=[feast_shop.user],
        schema=[key, Field(name="double", dtype=Float64)],
        mode="python",
        write_to_online_store=True,
    )
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"double": [score and score * 2 for score in inputs["score"]]}

    objects = (feast_shop.user, feast_shop.visits, pushed, streamed, doubled)
    feast = feast_shop.feasts_store(tmp_path / "feast", address, *objects)
    ours = feast_shop.applied_store(tmp_path / "ours", address, *objects)
    for view in ("streamed", "doubled"):
        write(feast, view, NOW, user_id="ann", score=2.0)

    batches = migrated(ours, redis_client, redis_client, now=datetime.now(UTC))
    deleted = [delete_migrated(redis_client, batch) for batch in batches]

    assert deleted == [1, 1] and hashes(redis_client) == {}
    assert answers(ours, "streamed:score", *USERS[:1]) == [(2.0, "PRESENT")]
    assert answers(ours, "doubled:double", *USERS[:1]) == [(4.0, "PRESENT")]


def test_a_materialized_row_without_entities_is_found_under_feasts_dummy(
    tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    feast = feast_shop.feasts_store(tmp_path / "feast", address)
    dummy = EntityKey(join_keys=["__dummy_id"], entity_values=[Value(string_val="")])
    row = (dummy, {"mean_price": Value(double_val=2.5)}, NOW, None)
    feast._get_provider().online_write_batch(feast.config, feast.get_feature_view("overall"), [row], None)
    ours = feast_shop.applied_store(tmp_path / "ours", address)

    assert migrate(ours, redis_client) == {"overall": Counter(written=1)}
    assert answers(ours, "overall:mean_price", *USERS[:1]) == [(2.5, "PRESENT")]


def test_migrating_again_and_late_moves_nothing_backwards(
    tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    fill(feast_shop.feasts_store(tmp_path / "feast", address), 1.0)
    ours = feast_shop.applied_store(tmp_path / "ours", address)
    first = migrate(ours, redis_client)
    records = {key: redis_client.get(key) for key in redis_client.keys(b"larder:*")}

    assert migrate(ours, redis_client) == first
    assert {key: redis_client.get(key) for key in redis_client.keys(b"larder:*")} == records

    write(ours, "visits", NOW + timedelta(seconds=1), user_id="ann", score=9.0)
    assert migrate(ours, redis_client)["visits"] == Counter(written=1, kept=1)
    assert answers(ours, "visits:score", *USERS[:1]) == [(9.0, "PRESENT")]


def test_a_row_of_tomorrow_is_neither_migrated_nor_deleted(
    tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    feast = feast_shop.feasts_store(tmp_path / "feast", address)
    write(feast, "visits", NOW + timedelta(days=1), user_id="ann", score=1.0)
    ours = feast_shop.applied_store(tmp_path / "ours", address)
    before = hashes(redis_client)

    (batch,) = migrated(ours, redis_client, redis_client, now=NOW)

    assert totals(batch, delete_migrated(redis_client, batch)) == Counter(future=1, written=0, kept=0, deleted=0)
    assert hashes(redis_client) == before


def test_more_rows_than_one_batch_holds_all_arrive(
    tmp_path: Path, address: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("larder.online.layouts.migration.KEYS_PER_BATCH", 7)
    feast = feast_shop.feasts_store(tmp_path / "feast", address)
    users = [f"user {number}" for number in range(50)]
    rows = pd.DataFrame({"user_id": users, "score": range(50), "event_timestamp": NOW}).astype({"score": float})
    feast.write_to_online_store("visits", rows)
    ours = feast_shop.applied_store(tmp_path / "ours", address)

    sizes = [len(batch.rows) for batch in migrated(ours, redis_client, redis_client, now=NOW)]

    assert max(sizes) == 7 and sum(sizes) == 50
    found = answers(ours, "visits:score", *({"user_id": user} for user in users))
    assert found == [(float(number), "PRESENT") for number in range(50)]


@pytest.mark.parametrize("project", ["b", "ab", "a*b", "[b]"])
def test_only_a_key_that_decodes_completely_is_the_projects(
    project: str, tmp_path: Path, address: str, redis_client: redis.Redis
) -> None:
    from feast.infra.online_stores.helpers import _redis_key

    from tests.online.test_store import _key

    key = _redis_key(project, _key("ann"))

    assert entity_of(key, project, ["user_id"]) == _key("ann")
    strangers = [key + b"b", key[:-1], b"b" + key, key.replace(b"user_id", b"shop_id"), b"", project.encode()]
    assert [entity_of(stranger, project, ["user_id"]) for stranger in strangers] == [None] * len(strangers)
    assert entity_of(key, "x" + project, ["user_id"]) is None
    assert entity_of(_redis_key("x" + project, _key("ann")), project, ["user_id"]) is None


@pytest.fixture
def home(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as it lies on disk, after its online store was changed from Feast's to ours."""
    repo = tmp_path / "feature_repo"
    repo.mkdir()
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    definitions = feast_shop.feasts_store(repo, address)
    fill(definitions, 1.0)
    (repo / "feature_store.yaml").write_text(
        f"project: shop\nprovider: local\nregistry: {repo / 'shop.db'}\nentity_key_serialization_version: 3\n"
        f"online_store:\n  type: larder.online.RedisOnlineStore\n  connection_string: {address}\n"
    )
    return tmp_path


def test_the_command_migrates_deletes_and_counts(home: Path, redis_client: redis.Redis) -> None:
    result = CliRunner().invoke(larder, ["migrate-online", "--delete-old"], catch_exceptions=False)

    rows = [line.strip("│").split("│") for line in result.output.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["loyalty", "1", "0", "0", "1"],
        ["overall", "1", "0", "0", "1"],
        ["visits", "2", "0", "0", "2"],
    ]
    assert hashes(redis_client) == {}
    again = CliRunner().invoke(larder, ["migrate-online"], catch_exceptions=False)
    assert "no row of this project in Feast's layout" in again.output


def test_the_command_refuses_a_project_on_another_store(home: Path) -> None:
    file = home / "feature_repo" / "feature_store.yaml"
    file.write_text(file.read_text() + "  layout: feast\n")

    result = CliRunner().invoke(larder, ["migrate-online"])

    assert result.exit_code == 2 and "there is nothing to migrate to" in result.output
