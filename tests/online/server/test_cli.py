from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from larder.contracts.errors import ConfigurationError, OnlineStoreError
from larder.contracts.settings import Settings, load_settings
from larder.online.server import embedded
from larder.online.server.cli import down, up
from larder.status import status
from tests.online.server.conftest import Server, cluster_address


def test_up_starts_redis_and_down_stops_it(own_redis: Settings) -> None:
    started = CliRunner().invoke(up, obj=own_redis, catch_exceptions=False)
    address = embedded.address(own_redis)

    assert address is not None
    assert address in started.output
    assert "append-only file" in started.output
    assert CliRunner().invoke(up, obj=own_redis, catch_exceptions=False).output == started.output
    assert "stopped" in CliRunner().invoke(down, obj=own_redis, catch_exceptions=False).output
    assert embedded.address(own_redis) is None
    assert "No embedded Redis" in CliRunner().invoke(down, obj=own_redis, catch_exceptions=False).output


def test_up_warns_of_a_redis_that_would_lose_features(own_redis: Settings) -> None:
    address = embedded.start(own_redis)
    client = embedded.connect(address, timeout_seconds=5)
    for name, value in (("appendonly", "no"), ("maxmemory", "64mb"), ("maxmemory-policy", "allkeys-lru")):
        client.config_set(name, value)

    output = CliRunner().invoke(up, obj=replace(own_redis, redis=address), catch_exceptions=False).output

    assert "appendonly yes" in output
    assert "noeviction" in output


def test_a_configured_redis_is_neither_started_nor_stopped(own_redis: Settings) -> None:
    elsewhere = replace(own_redis, redis="redis://127.0.0.1:1/0")

    with pytest.raises(OnlineStoreError, match=r"does not answer"):
        CliRunner().invoke(up, obj=elsewhere, catch_exceptions=False, standalone_mode=False)
    with pytest.raises(ConfigurationError, match=r"did not start"):
        CliRunner().invoke(down, obj=elsewhere, catch_exceptions=False, standalone_mode=False)


def configured(settings: Settings, online_store: str) -> Settings:
    """A project whose feature_store.yaml has this online store, and which no LARDER_REDIS contradicts."""
    settings.feature_repo.mkdir(parents=True, exist_ok=True)
    (settings.feature_repo / "feature_store.yaml").write_text(f"project: shop\nonline_store: {online_store}\n")
    return settings


@pytest.mark.parametrize("command", [up, status])
def test_the_redis_that_is_told_of_is_the_one_that_the_features_use(
    own_redis: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: click.Command
) -> None:
    monkeypatch.setenv("SHOP_REDIS", embedded.start(own_redis))
    other = load_settings({"LARDER_HOME": str(tmp_path / "project")})
    settings = configured(other, "{type: larder.online.RedisOnlineStore, connection_string: $SHOP_REDIS}")

    told = CliRunner().invoke(command, obj=settings, catch_exceptions=False).output

    assert str(embedded.address(own_redis)).partition("://")[2] in told.replace("\n", "")
    assert embedded.address(other) is None


def test_the_variable_comes_before_the_file(own_redis: Settings, tmp_path: Path) -> None:
    other = load_settings({"LARDER_HOME": str(tmp_path / "project"), "LARDER_REDIS": embedded.start(own_redis)})
    settings = configured(other, "{type: larder.online.RedisOnlineStore, connection_string: 'redis://127.0.0.1:1/0'}")

    assert "answers at" in CliRunner().invoke(up, obj=settings, catch_exceptions=False).output


@pytest.mark.parametrize("store", ["{type: redis, connection_string: 'localhost:6379'}", "redis", ""])
def test_a_store_of_another_kind_is_named_and_no_redis_is_started_for_it(tmp_path: Path, store: str) -> None:
    settings = configured(load_settings({"LARDER_HOME": str(tmp_path)}), store)

    with pytest.raises(ConfigurationError, match=f"online store '{'redis' if store else 'sqlite'}'"):
        CliRunner().invoke(up, obj=settings, catch_exceptions=False, standalone_mode=False)
    assert embedded.address(settings) is None


def test_a_damaged_feature_store_yaml_is_named(tmp_path: Path) -> None:
    settings = configured(load_settings({"LARDER_HOME": str(tmp_path)}), "{type: [")

    with pytest.raises(ConfigurationError, match=r"feature_store\.yaml cannot be read"):
        CliRunner().invoke(up, obj=settings, catch_exceptions=False, standalone_mode=False)


def test_up_checks_every_primary_of_a_cluster_and_hides_the_password(
    own_redis: Settings, cluster: list[Server]
) -> None:
    for node in cluster:
        with closing(node.client()) as admin:
            admin.execute_command("ACL", "SETUSER", "ann", "on", ">secret", "~*", "+@all")
            admin.config_set("maxmemory-policy", "noeviction" if node is cluster[0] else "allkeys-lru")
    address = cluster_address(cluster).replace("//", "//ann:secret@")

    output = CliRunner().invoke(up, obj=replace(own_redis, redis=address), catch_exceptions=False).output

    assert str(cluster[0].port) in output
    assert "secret" not in output
    assert "allkeys-lru" in output
