from datetime import UTC, datetime
from pathlib import Path

import pytest

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import environment_of, load_settings


def test_everything_lies_under_home_unless_told_otherwise(tmp_path: Path):
    settings = load_settings({"LARDER_HOME": str(tmp_path)})

    assert settings.state == tmp_path / ".larder"
    assert settings.lake == str(tmp_path / ".larder" / "lake")
    assert settings.registry == f"sqlite:///{tmp_path}/.larder/registry.db"


def test_an_object_store_address_is_kept_as_it_is(tmp_path: Path):
    settings = load_settings({"LARDER_HOME": str(tmp_path), "LARDER_LAKE": "s3://bucket/lake"})

    assert settings.lake == "s3://bucket/lake"


@pytest.mark.parametrize("lake", ["../tables", "s3://bucket/tables", ""])
def test_the_lake_of_the_offline_store_is_that_of_every_command(tmp_path: Path, lake: str):
    store = f"offline_store:\n  type: larder.offline.DeltaOfflineStore\n  lake: {lake}\n"
    (tmp_path / "feature_store.yaml").write_text(store)
    expected = {"../tables": f"{tmp_path}/../tables", "": f"{tmp_path}/.larder/lake"}.get(lake, lake)

    settings = load_settings({"LARDER_HOME": str(tmp_path)})

    assert settings.lake == expected and load_settings(environment_of(settings)) == settings
    assert load_settings({"LARDER_HOME": str(tmp_path), "LARDER_LAKE": "other"}).lake == f"{tmp_path}/other"


def test_a_lake_of_another_kind_of_offline_store_does_not_count(tmp_path: Path):
    (tmp_path / "feature_store.yaml").write_text("offline_store: {type: file, lake: elsewhere}\n")

    assert load_settings({"LARDER_HOME": str(tmp_path)}).lake == f"{tmp_path}/.larder/lake"


def test_the_environment_wins_over_the_file(tmp_path: Path):
    (tmp_path / ".env").write_text("LARDER_PORT=1111\nLARDER_HOST=0.0.0.0\n")

    settings = load_settings({"LARDER_HOME": str(tmp_path), "LARDER_PORT": "2222"})

    assert (settings.port, settings.host) == (2222, "0.0.0.0")


def test_a_home_in_the_file_that_is_looked_for_there_is_refused(tmp_path: Path):
    (tmp_path / ".env").write_text(f"LARDER_HOME={tmp_path}\n")
    assert load_settings({"LARDER_HOME": str(tmp_path)}).home == tmp_path

    (tmp_path / ".env").write_text("LARDER_HOME=/somewhere/else\n")
    with pytest.raises(ConfigurationError, match=r"\.env sets LARDER_HOME to '/somewhere/else'"):
        load_settings({"LARDER_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    "more", [{}, {"LARDER_SIGNING_KEY": "keys/signing.pem", "LARDER_CLOCK": "2024-01-01T00:00:00Z"}]
)
def test_a_child_process_loads_the_same_settings(tmp_path: Path, more: dict[str, str]):
    settings = load_settings({"LARDER_HOME": str(tmp_path)} | more)

    assert load_settings(environment_of(settings)) == settings
    assert settings.trusted_keys is None
    assert settings.signing_key == (tmp_path / "keys" / "signing.pem" if more else None)


def test_home_is_found_from_a_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "feature_repo").mkdir()
    (tmp_path / "feature_repo" / "feature_store.yaml").write_text("project: shop\n")
    monkeypatch.chdir(tmp_path / "feature_repo")

    assert load_settings({}).home == tmp_path


@pytest.mark.parametrize("called_from", [".", "shop", "shop/notebooks"])
def test_a_feast_repository_by_itself_is_its_own_home_from_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called_from: str
):
    (tmp_path / "shop" / "notebooks").mkdir(parents=True)
    (tmp_path / "shop" / "feature_store.yaml").write_text("project: shop\n")
    monkeypatch.chdir(tmp_path / called_from)

    settings = load_settings({}, near=tmp_path / "shop")

    assert settings.home == settings.feature_repo == tmp_path / "shop"


def test_the_clock_stands_at_the_replay_instant(tmp_path: Path):
    settings = load_settings({"LARDER_HOME": str(tmp_path), "LARDER_CLOCK": "2013-12-28T12:00:00-05:00"})

    assert settings.clock() == datetime(2013, 12, 28, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LARDER_CLOCK", "yesterday", "ISO 8601"),
        ("LARDER_CLOCK", "2013-12-28T17:00:00", "no time zone"),
        ("LARDER_PORT", "http", "number from 1 to 65535"),
        ("LARDER_REDDIS", "redis://localhost", "No such setting: LARDER_REDDIS"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(tmp_path: Path, name: str, value: str, words: str):
    with pytest.raises(ConfigurationError, match=words):
        load_settings({"LARDER_HOME": str(tmp_path), name: value})
