"""Runs and model versions in MLflow: what a challenger is, whole, and where it came from."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from larder.contracts.bundle import Bounds
from larder.contracts.errors import DependencyError, InvalidDataError, MissingTableError
from larder.contracts.monitoring import Baseline
from larder.contracts.settings import Settings
from larder.evaluation import Evaluation
from larder.model_registry import has_registry, quiet_mlflow
from training.data.lineage import Lineage
from training.data.record import Record, lineage_tags, record
from training.models.model import Columns, inputs
from training.models.model_file import dumped, foreign_types, loaded
from training.models.moved import follow

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

CHALLENGER = "challenger"
MODEL, ROWS, DESCRIPTION = "model.skops", "test_rows.parquet", "challenger.json"
_HASH_TAG = "larder.sha256."


class Description(msgspec.Struct, frozen=True):
    """All that promotion needs to know of a challenger, apart from the model and its test rows."""

    columns: Columns
    label: str
    bounds: dict[str, Bounds]
    lineage: Lineage
    evaluation: Evaluation
    baseline: Baseline | None = None
    """What was usual in training; None for what was logged before this was kept."""
    costs: dict[str, float] = {}
    """Of the KPI by which it was judged; empty for what was logged before this was kept."""


@dataclass(frozen=True)
class Version:
    """A registered model version."""

    model: str
    number: str
    run_id: str


@dataclass(frozen=True)
class Challenger:
    version: Version
    description: Description
    pipeline: "Pipeline"
    test: pa.Table
    """The rows on which it was evaluated."""


def log_challenger(
    settings: Settings,
    model: str,
    pipeline: "Pipeline",
    description: Description,
    test: pa.Table,
    *,
    parameters: Mapping[str, Any],
    plots: Mapping[str, bytes],
) -> Version:
    """Log a run with everything, register its model and give it the alias `challenger`.

    The version is registered last: a run that was cut off is never a challenger.
    """
    with _experiment(settings, model) as mlflow, mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        pq.write_table(test, files / ROWS, compression="zstd")
        (files / DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(description), indent=1))
        (files / "plots").mkdir()
        for name, png in plots.items():
            (files / "plots" / name).write_bytes(png)
        mlflow.log_artifacts(folder)
        mlflow.log_params(parameters)
        mlflow.log_metrics(_flat_metrics(description.evaluation))
        logged = _log_model(mlflow, pipeline, inputs(test.slice(0, 5), description.columns))
        mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=folder)
        mlflow.set_tags({_HASH_TAG + name: _sha256(files / name) for name in (ROWS, DESCRIPTION, MODEL)})
        mlflow.set_tags(lineage_tags(description.lineage))
        number = _register(mlflow.MlflowClient(), model, logged, run.info.run_id)
    return Version(model, number, run.info.run_id)


def load_challenger(settings: Settings, model: str, number: str | None = None) -> Challenger:
    """The model version `number`, or the one with alias `challenger`; hashes are checked before anything is decoded.

    Raises MissingTableError when there is none, InvalidDataError when a file differs from what was logged.
    """
    with _experiment(settings, model) as mlflow, tempfile.TemporaryDirectory() as folder:
        client = mlflow.MlflowClient()
        registered = _registered(client, model, number)
        run = client.get_run(registered.run_id)
        files = Path(folder)
        for name in (ROWS, DESCRIPTION):
            mlflow.artifacts.download_artifacts(run_id=registered.run_id, artifact_path=name, dst_path=folder)
        mlflow.artifacts.download_artifacts(f"models:/{model}/{registered.version}", dst_path=folder)
        for name in (ROWS, DESCRIPTION, MODEL):
            if _sha256(files / name) != run.data.tags.get(_HASH_TAG + name):
                raise InvalidDataError(
                    f"{name} of {model!r} version {registered.version} is not what its run logged; refused unread. "
                    "Run `larder train` again."
                )
        return Challenger(
            Version(model, str(registered.version), registered.run_id),
            msgspec.json.decode((files / DESCRIPTION).read_bytes(), type=Description),
            loaded((files / MODEL).read_bytes()),
            pq.read_table(files / ROWS),
        )


def challenger_number(settings: Settings, model: str) -> str:
    """The version with the alias `challenger`. Raises MissingTableError when there is none."""
    with _experiment(settings, model) as mlflow:
        return str(_registered(mlflow.MlflowClient(), model, None).version)


def load_record(settings: Settings, name: str) -> Record:
    """What a run logged of its training set; `name` is a run id, `<model>/<version>` or `<model>@<alias>`.

    Raises MissingTableError when MLflow knows no such run, InvalidDataError when the run does not say enough.
    """
    if not has_registry(settings.mlflow):
        raise MissingTableError(f"There is no MLflow database at {settings.mlflow} yet. Run `larder train` first.")
    mlflow = quiet_mlflow()
    client = mlflow.MlflowClient(settings.mlflow)
    try:
        run = client.get_run(_run_id(client, name)).data
    except mlflow.exceptions.MlflowException as problem:
        raise MissingTableError(
            f"MLflow at {settings.mlflow} has no {name!r}: {problem.message} Give a run id, <model>/<version> or "
            "<model>@<alias>, such as the `run_id` in the report of `larder train`."
        ) from problem
    return record(name, run.params, run.tags)


@contextmanager
def _experiment(settings: Settings, model: str) -> Iterator[Any]:
    """MLflow, pointed at the configured store and at the model's experiment; as it was before, afterwards."""
    mlflow = quiet_mlflow()
    before = mlflow.get_tracking_uri()
    settings.state.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.mlflow)
    try:
        client = mlflow.MlflowClient()
        found, folder = client.get_experiment_by_name(model), _artifacts(settings, model)
        if found and folder and folder.is_dir() and found.artifact_location != folder.as_uri():
            follow(settings.mlflow, before=found.artifact_location, now=folder.as_uri())
        identifier = found.experiment_id if found else client.create_experiment(model, folder and folder.as_uri())
        mlflow.set_experiment(experiment_id=identifier)
        yield mlflow
    except mlflow.exceptions.MlflowException as problem:
        raise DependencyError(
            f"MLflow at {settings.mlflow} refused: {problem.message} Check LARDER_MLFLOW and that the server runs."
        ) from problem
    finally:
        mlflow.set_tracking_uri(before)


def _log_model(mlflow: Any, pipeline: "Pipeline", sample: "pd.DataFrame") -> Any:
    from sklearn.base import is_classifier

    method = "predict_proba" if is_classifier(pipeline) else "predict"
    return mlflow.sklearn.log_model(
        pipeline,
        name="model",
        serialization_format="skops",
        skops_trusted_types=foreign_types(dumped(pipeline)),
        signature=mlflow.models.infer_signature(sample, getattr(pipeline, method)(sample)),
        pyfunc_predict_fn=method,
        # Named here, since MLflow would find them out by loading the model in another process.
        pip_requirements=["scikit-learn", "skops", "numpy", "pandas"],
    )


def _register(client: "MlflowClient", model: str, logged: Any, run_id: str) -> str:
    """The new version's number; it bears the alias `challenger` from now on."""
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    registered = client.create_model_version(model, logged.model_uri, run_id=run_id, model_id=logged.model_id)
    client.set_registered_model_alias(model, CHALLENGER, registered.version)
    return str(registered.version)


def _artifacts(settings: Settings, model: str) -> Path | None:
    """Beside the other state for a local database; a server decides itself."""
    return settings.state / "mlruns" / model if settings.mlflow.startswith("sqlite:") else None


def _run_id(client: "MlflowClient", name: str) -> str:
    if "/" in name:
        model, _, number = name.rpartition("/")
        return str(client.get_model_version(model, number).run_id)
    if "@" in name:
        model, _, alias = name.rpartition("@")
        return str(client.get_model_version_by_alias(model, alias).run_id)
    return name


def _registered(client: "MlflowClient", model: str, number: str | None) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        if number is None:
            return client.get_model_version_by_alias(model, CHALLENGER)
        return client.get_model_version(model, number)
    except MlflowException:
        wanted = f"version {number}" if number else f"version with the alias {CHALLENGER!r}"
        there = sorted((item.version for item in client.search_model_versions(f"name = '{model}'")), key=int)
        remedy = f"; it has {', '.join(map(str, there))}. Name one of these" if there else ". Run `larder train` first"
        raise MissingTableError(f"MLflow has no {wanted} of {model!r}{remedy}.") from None


def _flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """MLflow's flat names: `roc_auc`, `calendar.roc_auc`."""
    flat = dict(evaluation.metrics)
    for name, reference in evaluation.references.items():
        flat |= {f"{name}.{metric}": value for metric, value in (reference or {}).items()}
    return flat


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
