"""Where the files of models lie when MLflow is a sqlite file of the state folder."""

import shutil
from pathlib import Path

from larder.contracts.objective import Objective
from larder.contracts.settings import Settings, load_settings
from tests.training.shop import END, shop_data
from training.models.tracking import load_challenger
from training.training_run import train


def test_models_go_where_their_state_folder_goes(settings: Settings, objective: Objective, tmp_path: Path):
    train(settings, objective, shop_data(), model="repairs")
    restored = load_settings({"LARDER_HOME": str(tmp_path / "restored"), "LARDER_CLOCK": END.isoformat()})
    shutil.move(settings.home, restored.home)

    first = load_challenger(restored, "repairs")
    train(restored, objective, shop_data(), model="repairs")
    second = load_challenger(restored, "repairs")

    assert (first.version.number, second.version.number) == ("1", "2")
    assert not settings.home.exists()
