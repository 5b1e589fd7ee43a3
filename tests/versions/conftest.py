"""A project whose lake has one table with three versions: 2 rows, 3 rows, then a rewrite to 1 row and a new column."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from larder.contracts.settings import Settings, load_settings
from larder.versions.cli import data

PANS = "silver/pans"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    home = tmp_path / "my pans"
    home.mkdir()
    # Retrievals find the checkout through the settings of their process.
    monkeypatch.setenv("LARDER_HOME", str(home))
    return load_settings()


@pytest.fixture
def pans(settings: Settings) -> str:
    place = f"{settings.lake}/{PANS}"
    write_deltalake(place, pa.table({"pan": ["a", "b"], "kg": [1.0, 2.0]}))
    write_deltalake(place, pa.table({"pan": ["c"], "kg": pa.array([None], pa.float64())}), mode="append")
    rewritten = pa.table({"pan": ["a"], "kg": [9.0], "metal": ["iron"]})
    write_deltalake(place, rewritten, mode="overwrite", schema_mode="overwrite")
    return place


@pytest.fixture
def larder_data(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `larder data ...`; errors are raised."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(settings.home)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(data, arguments, obj=settings, catch_exceptions=False, standalone_mode=False)

    return invoke


def delete_files(place: str, names: list[str]) -> None:
    for name in names:
        (Path(place) / name).unlink()
