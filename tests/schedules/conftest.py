"""A project of the second use case, to which the environment points: commands and Dagster find it there."""

import shutil
from pathlib import Path

import pytest

from larder.contracts.settings import Settings, load_settings
from tests.end_to_end.test_second_use_case import CLOCK, SOURCE


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    home = tmp_path / "my project"
    shutil.copytree(SOURCE, home, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("LARDER_HOME", str(home))
    monkeypatch.setenv("LARDER_CLOCK", CLOCK)
    made = load_settings()
    made.raw.mkdir(parents=True)
    return made
