"""Fixtures around the shop of `shop.py`: settings, MLflow on sqlite, a Feast project."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from feast import FeatureStore
from threadpoolctl import threadpool_limits

from larder.contracts.objective import Objective
from larder.contracts.settings import Settings, load_settings
from tests.training.shop import END, apply_shop, shop_data, shop_objective, shop_store
from training.data.training_set import TrainingSet
from training.models.tracking import quiet_mlflow


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Trees on a few hundred rows: threads would only wait for one another."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def objective() -> Objective:
    return shop_objective()


@pytest.fixture
def data() -> TrainingSet:
    return shop_data()


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database; making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    quiet_mlflow().MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def settings(tmp_path: Path, empty_mlflow: Path) -> Settings:
    """State in a folder with a space; the clock stands at the end of the test window."""
    built = load_settings({"LARDER_HOME": str(tmp_path / "my pans"), "LARDER_CLOCK": END.isoformat()})
    built.state.mkdir(parents=True)
    shutil.copy(empty_mlflow, built.state / "mlflow.db")
    return built


@pytest.fixture
def store(settings: Settings) -> FeatureStore:
    """A Feast project whose one view is the Delta table `silver/pans`, which a test writes with `write_shop`."""
    built = shop_store(settings)
    apply_shop(built)
    return built
