"""Fixtures around the shop of `shop.py`: settings, MLflow on sqlite, a Feast project."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field
from feast.repo_config import RepoConfig
from feast.types import Float64, String
from feast.value_type import ValueType
from threadpoolctl import threadpool_limits

from larder.contracts.objective import Objective
from larder.contracts.settings import Settings, load_settings
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline import DeltaSource
from tests.training.shop import END, shop_data, shop_objective
from training.tracking import quiet_mlflow
from training.training_set import TrainingSet


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
    pan = Entity(name="pan", join_keys=["pan"], value_type=ValueType.STRING)
    pans = FeatureView(
        name="pans",
        entities=[pan],
        ttl=timedelta(days=1),
        source=DeltaSource(
            name="pans_source",
            path="silver/pans",
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=KNOWN_AT,
            known_time_cutoff=True,
        ),
        schema=[
            Field(name="pan", dtype=String),
            Field(name="age_years", dtype=Float64),
            Field(name="metal", dtype=String),
            Field(name="weight_kg", dtype=Float64),
        ],
    )
    built = FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            repo_path=settings.home,
            registry={"registry_type": "sql", "path": settings.registry},
            offline_store={"type": "larder.offline.DeltaOfflineStore", "lake": settings.lake},
            online_store={"type": "sqlite", "path": str(settings.state / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    built.apply([pan, pans, FeatureService(name="repairs", features=[pans])])
    return built
