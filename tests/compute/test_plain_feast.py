"""Feast's own commands say what is wrong in one sentence, as `larder` does."""

import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from feast.cli.cli import cli

from tests.compute.project import CONFIGURATION

DEFINITIONS = """
    from feast import Entity, FeatureView, Field
    from feast.types import Float64, String
    from feast.value_type import ValueType

    from larder.offline import DeltaSource

    shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
    shops = FeatureView(
        name="shops", entities=[shop], schema=[Field(name="shop", dtype=String), Field(name="area", dtype=Float64)],
        source=DeltaSource(name="shops_source", path="silver/shops", timestamp_field="opened_at"),
    )
    """


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature repository whose table is not there yet."""
    folder = tmp_path / "feature_repo"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(CONFIGURATION)
    (folder / "stocks.py").write_text(textwrap.dedent(DEFINITIONS))
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    monkeypatch.setenv("LARDER_REDIS", "redis://127.0.0.1:1")
    return folder


def feast(repository: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-c", str(repository), *arguments])


def test_materialize_prints_a_refusal_without_a_traceback(repository: Path):
    assert feast(repository, "apply").exit_code == 0

    for command in (["materialize-incremental"], ["materialize", "2020-01-01T00:00:00"]):
        result = feast(repository, *command, "2020-01-02T00:00:00")

        assert result.exit_code == 2
        assert "Traceback" not in result.output + result.stderr
        assert result.stderr.splitlines()[-1].startswith("Error: There is no Delta table at")
