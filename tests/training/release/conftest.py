"""A project in which versions 1 to 4 have bundles and version 1 serves; MLflow knows nothing of it."""

from pathlib import Path

import pytest

from larder.contracts.retraining import Release
from larder.contracts.settings import Settings, load_settings
from larder.ledger import Ledger, ledger_of
from tests.training.release.pans import BEGIN, DAY, MODEL, freeze
from training.release.acts import releasing


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    built = load_settings({"LARDER_HOME": str(tmp_path / "my pans"), "LARDER_CLOCK": BEGIN.isoformat()})
    freeze(built, "1", "2", "3", "4")
    return built


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    """Version 1 was promoted a day before the tests begin."""
    made = ledger_of(settings, actor="tester@here")
    with releasing(settings, MODEL, made) as releases:
        releases.promote("1", at=BEGIN - DAY, reason="the first", inputs={})
    return made


@pytest.fixture
def policy() -> Release:
    return Release(shadow=2 * DAY, shadow_rows=200, patience=6 * DAY, watch=3 * DAY, tolerance=0.01)
