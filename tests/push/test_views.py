"""Pushes of Feast views: from sources with and without versions, by the engine that the configuration names."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from deltalake import write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.data_source import DataSource
from feast.repo_config import RepoConfig
from feast.types import Float64, String
from feast.value_type import ValueType

from larder.compute import push
from larder.compute.job import materialized
from larder.compute.push import push_latest
from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.offline import DeltaSource
from larder.online.server.embedded import online_address
from larder.push.run import PushReport
from tests.push.history import INSTANT, Row, at, held, rows


def store_of(folder: Path, settings: Settings, source: DataSource, **offline: Any) -> FeatureStore:
    """A project with the view `scores` of a user."""
    store = FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            repo_path=folder,
            registry={"registry_type": "sql", "path": f"sqlite:///{folder / 'registry.db'}"},
            offline_store={"type": "larder.offline.DeltaOfflineStore", "lake": str(folder)} | offline,
            online_store={"type": "larder.online.RedisOnlineStore", "connection_string": online_address(settings)},
            entity_key_serialization_version=3,
        )
    )
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
    fields = [Field(name="user", dtype=String), Field(name="score", dtype=Float64)]
    store.apply([user, FeatureView(name="scores", entities=[user], schema=fields, source=source)])
    return store


def pushed(store: FeatureStore, settings: Settings, minutes: int) -> PushReport:
    return push_latest(store.get_feature_view("scores"), store.config, settings, instant=at(minutes))


def write(folder: Path, *given: Row) -> None:
    write_deltalake(str(folder / "scores"), rows(*given), mode="append")


def test_the_sentence_of_a_view_says_what_was_removed_quarantined_and_why(
    tmp_path: Path, redis_client: redis.Redis, redis_settings: Settings
):
    write(tmp_path, ("a", 1, 1, 1.0), (None, 1, 1, 1.0), ("b", 100_000_000, 100_000_000, 1.0))
    store = store_of(tmp_path, redis_settings, DeltaSource(path="scores", timestamp_field="seen_at"))
    sentence = str(materialized("scores", at(5), None, pushed(store, redis_settings, 5), 0.5))

    assert sentence == (
        "scores: 1 entities written online, 1 rows quarantined (future-dated), 1 rows quarantined (no key), "
        "whole history read because nothing of it was online in 0.5 s"
    )
    assert pl.read_delta(str(tmp_path / "quarantine" / "scores_online"))["reason"].sort().to_list() == [
        "future-dated",
        "no key",
    ]


def test_redis_and_history_agree_on_rows_without_a_created_timestamp_whichever_came_first(
    tmp_path: Path, redis_client: redis.Redis, redis_settings: Settings
):
    def append(row: Row, *, is_created: bool) -> None:
        created = rows(row)["known_at"] if is_created else pa.nulls(1, INSTANT)
        table = rows(row).set_column(2, "known_at", created)
        write_deltalake(str(tmp_path / "scores"), table, mode="append")

    source = DeltaSource(path="scores", timestamp_field="seen_at", created_timestamp_column="known_at")
    store = store_of(tmp_path, redis_settings, source)
    for user, order in (("a", (False, True)), ("b", (True, False))):
        for is_created in order:
            append((user, 2, 1, float(is_created)), is_created=is_created)
            pushed(store, redis_settings, 5)
    asked = pa.table({"user": ["a", "b"], "event_timestamp": pa.array([at(5), at(5)], INSTANT)})
    answered = store.get_historical_features(asked, ["scores:score"]).to_arrow()["score"].to_pylist()

    assert [held(redis_client)[user][2] for user in "ab"] == answered == [0.0, 0.0]


def test_files_without_versions_are_read_whole_each_time_and_said_so(
    tmp_path: Path, redis_client: redis.Redis, redis_settings: Settings
):
    file = tmp_path / "scores.parquet"
    pq.write_table(rows(("a", 1, 1, 1.0), ("b", 2, 2, 2.0)), file)
    store = store_of(tmp_path, redis_settings, FileSource(path=str(file), timestamp_field="seen_at"))
    pushed(store, redis_settings, 5)
    pq.write_table(rows(("a", 0, 0, 0.0), ("b", 3, 3, 3.0)), file)
    report = pushed(store, redis_settings, 5)

    assert "files have no versions" in report.note
    assert {user: score for user, (_, _, score) in held(redis_client).items()} == {"a": 1.0, "b": 3.0}


def test_redis_holds_what_another_file_holds_once_the_view_reads_it(
    tmp_path: Path, redis_client: redis.Redis, redis_settings: Settings
):
    for name, row in {"first": ("a", 5, 5, 1.0), "second": ("a", 2, 2, 2.0)}.items():
        pq.write_table(rows(row), tmp_path / f"{name}.parquet")
        source = FileSource(name="file", path=str(tmp_path / f"{name}.parquet"), timestamp_field="seen_at")
        report = pushed(store_of(tmp_path, redis_settings, source), redis_settings, 6)

    assert "the view read " in report.note and held(redis_client)["a"][2] == 2.0


def test_a_file_source_on_a_delta_table_is_pushed_by_its_versions(
    tmp_path: Path, redis_client: redis.Redis, redis_settings: Settings
):
    write(tmp_path, ("a", 1, 1, 1.0))
    store = store_of(tmp_path, redis_settings, FileSource(path=str(tmp_path / "scores"), timestamp_field="seen_at"))
    pushed(store, redis_settings, 5)
    write(tmp_path, ("b", 0, 0, 2.0))

    assert (pushed(store, redis_settings, 5).written, pushed(store, redis_settings, 5).written) == (1, 0)


@pytest.mark.parametrize(
    ("offline", "expected"),
    [
        ({"engine": "embedded", "spark_from_gigabytes": 0.0}, "here"),
        ({"engine": "spark"}, "spark"),
        ({"engine": "auto", "spark_from_gigabytes": 0.0}, "spark"),
        ({"engine": "auto"}, "here"),
    ],
)
def test_the_rule_of_retrievals_chooses_the_engine(
    tmp_path: Path,
    redis_client: redis.Redis,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    offline: dict[str, Any],
    expected: str,
):
    write(tmp_path, ("a", 1, 1, 1.0))
    store = store_of(tmp_path, redis_settings, DeltaSource(path="scores", timestamp_field="seen_at"), **offline)
    ran = []
    usual = push.push_here
    monkeypatch.setattr(push, "push_here", lambda *a, **o: (ran.append("here"), usual(*a, **o))[1])
    monkeypatch.setattr(
        push,
        "push_on_spark",
        lambda *a, now, quarantine, **_: (ran.append("spark"), usual(*a, now=now, quarantine=quarantine))[1],
    )
    for _ in range(2):  # the second time there is nothing to read
        pushed(store, redis_settings, 5)
        write(tmp_path / "elsewhere", ("a", 1, 1, 1.0))
    pushed(store, redis_settings, 6)

    assert ran == [expected, "here"]


def test_feasts_own_layout_is_left_to_feasts_engine(
    tmp_path: Path, redis_client: redis.Redis, redis_settings: Settings
):
    write(tmp_path, ("a", 1, 1, 1.0))
    store = store_of(tmp_path, redis_settings, DeltaSource(path="scores", timestamp_field="seen_at"))
    store.config.online_store.layout = "feast"

    with pytest.raises(ConfigurationError, match=r"batch_engine\.type"):
        pushed(store, redis_settings, 5)
    assert redis_client.dbsize() == 0


def test_a_view_without_keys_is_pushed_and_its_ties_are_settled(
    tmp_path: Path, redis_client: redis.Redis, redis_settings: Settings
):
    write(tmp_path, ("a", 1, 1, 1.0), ("a", 2, 2, 2.0))
    store = store_of(tmp_path, redis_settings, DeltaSource(path="scores", timestamp_field="seen_at"))
    source = DeltaSource(name="all", path="scores", timestamp_field="seen_at")
    store.apply(FeatureView(name="everybody", entities=[], schema=[Field(name="score", dtype=Float64)], source=source))
    push_latest(store.get_feature_view("everybody"), store.config, redis_settings, instant=at(5))
    write(tmp_path, ("b", 2, 2, 3.0))
    push_latest(store.get_feature_view("everybody"), store.config, redis_settings, instant=at(5))

    found = store.get_online_features(["everybody:score"], [{}]).to_dict()
    assert found["score"] == [3.0]
