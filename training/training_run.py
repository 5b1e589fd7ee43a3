"""One training run, from the feature service to a registered challenger."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from larder.contracts.objective import CHAMPION, CONSTANT, Objective
from larder.contracts.settings import Settings
from larder.evaluation import Evaluation, Probabilities, evaluation, outcomes
from training.gates import GateResult, gate_results
from training.model import fit, importance, probabilities, training_bounds
from training.plots import plots
from training.promotion import champion_probabilities
from training.record import label_parameters
from training.tracking import Description, Version, log_challenger
from training.training_set import TrainingSet

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class TrainingRun:
    version: Version
    evaluation: Evaluation
    gates: list[GateResult]
    importance: dict[str, float]
    """Loss of ROC-AUC per shuffled input, largest first."""
    fit_seconds: float
    evaluate_seconds: float


def train(settings: Settings, objective: Objective, data: TrainingSet, *, model: str) -> TrainingRun:
    """Fit, judge beside the references and register as challenger, whether or not the gates pass."""
    started = time.monotonic()
    pipeline = fit(objective.pipeline, data.train, data.columns, data.label)
    fitted = time.monotonic()
    judged = evaluation(
        objective,
        data.test,
        probabilities(pipeline, data.test, data.columns),
        _references(settings, objective, data, model=model),
    )
    shuffled = importance(pipeline, data.test, data.columns, outcomes(data.test, data.label), seed=objective.seed)
    done = time.monotonic()
    description = Description(
        columns=data.columns,
        label=data.label,
        bounds=training_bounds(data.train, data.columns, objective.bounds),
        lineage=data.lineage,
        evaluation=judged,
    )
    version = log_challenger(
        settings,
        model,
        pipeline,
        description,
        data.test,
        parameters=_parameters(objective, data, pipeline),
        plots=plots(judged, shuffled),
    )
    return TrainingRun(
        version, judged, gate_results(objective.gates, judged), shuffled, fitted - started, done - fitted
    )


def _references(
    settings: Settings, objective: Objective, data: TrainingSet, *, model: str
) -> dict[str, Probabilities | None]:
    """Probabilities for the test rows of the training share, of every declared plainer model, of the champion."""
    share = float(outcomes(data.train, data.label).mean())
    plainer = {}
    for name, features in objective.references.items():
        columns = data.columns.only(features)
        plainer[name] = probabilities(fit(objective.pipeline, data.train, columns, data.label), data.test, columns)
    return {
        CONSTANT: np.full(data.test.num_rows, share),
        **plainer,
        CHAMPION: champion_probabilities(settings, model, data.test),
    }


def _parameters(objective: Objective, data: TrainingSet, pipeline: "Pipeline") -> dict[str, object]:
    """What was chosen, for MLflow's comparison of runs; the estimators' own parameters where they are plain values."""
    chosen = {
        name: value
        for name, value in pipeline.get_params().items()
        if value is None or isinstance(value, bool | int | float | str)
    }
    labels = {} if data.lineage.labels is None else label_parameters(data.lineage.labels)
    return (
        chosen
        | labels
        | {
            "train_rows": data.train.num_rows,
            "test_rows": data.test.num_rows,
            "features": len(data.columns.names),
            "feature_service": data.lineage.service,
            "threshold": objective.kpi.threshold,
        }
    )
