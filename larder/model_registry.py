"""The MLflow registry as stored data: which table versions the registered models were trained on."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from larder.contracts.errors import DependencyError
from larder.contracts.lineage import TABLES_TAG, decoded_tables
from larder.contracts.settings import Settings


@dataclass(frozen=True)
class ModelPins:
    """What one registered model version was trained on."""

    model: str
    """`<name>/<version>`."""
    tables: dict[str, int] | None
    """Table (relative to the lake, else its place) -> Delta version; None when its run is gone from MLflow."""


def model_pins(settings: Settings) -> list[ModelPins]:
    """The tables of every registered model version that names some.

    Raises DependencyError when MLflow cannot be asked, InvalidDataError when a run's list of tables is damaged.
    """
    if not has_registry(settings.mlflow):
        return []
    mlflow = quiet_mlflow()
    client = mlflow.MlflowClient(settings.mlflow)
    try:
        pins = [_pins(client, version) for version in _all_versions(client)]
    except mlflow.exceptions.MlflowException as problem:
        raise DependencyError(
            f"MLflow at {settings.mlflow} refused, so what its models pin is unknown: {problem.message} "
            "Check LARDER_MLFLOW and that the server runs."
        ) from problem
    return sorted((found for found in pins if found is not None), key=lambda found: found.model)


def has_registry(address: str) -> bool:
    """False for a sqlite file that is not there: asking MLflow would make it."""
    if not address.startswith("sqlite:"):
        return True
    path = make_url(address).database
    return bool(path) and Path(str(path)).is_file()


def quiet_mlflow() -> Any:
    """MLflow without progress bars, chatter and reports to its makers: a project's runs are its own business."""
    with warnings.catch_warnings():
        # On import MLflow warns of its own type hints and of its own use of SQLAlchemy.
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.pyfunc
        import mlflow.sklearn
        import mlflow.store.tracking.sqlalchemy_store
        from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY, MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
        from mlflow.telemetry import set_telemetry_client

    MLFLOW_DISABLE_TELEMETRY.set(True)
    set_telemetry_client()
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return mlflow


def _all_versions(client: Any) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_model_versions(max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _pins(client: Any, version: Any) -> ModelPins | None:
    """None for a model version that was not trained here."""
    from mlflow.exceptions import MlflowException

    model = f"{version.name}/{version.version}"
    if not version.run_id:
        return None
    try:
        tags = client.get_run(version.run_id).data.tags
    except MlflowException as problem:
        if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ModelPins(model, None)
    if TABLES_TAG not in tags:
        return None
    return ModelPins(model, decoded_tables(tags[TABLES_TAG], where=f"The run of {model}"))
