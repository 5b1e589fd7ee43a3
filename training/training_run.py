"""One training run, from the rows to a registered challenger."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from larder.contracts.monitoring import Baseline, Monitoring
from larder.contracts.objective import CHAMPION, CONSTANT, ErrorKpi, Kpi, Objective
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.evaluation import Evaluation, Floats, Outcomes, evaluation, task_of
from larder.usual_windows import with_usual_windows
from training.data.record import label_parameters
from training.data.training_set import TrainingSet
from training.gates import GateResult, champion_evidence, gate_results
from training.models.baseline import baseline, dependence, number_baseline
from training.models.model import fit, importance, predictions, training_bounds
from training.models.plots import plots
from training.models.tracking import Description, Version, log_challenger
from training.promotion import champion_predictions

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


LIMITS = Monitoring()


@dataclass(frozen=True)
class TrainingRun:
    version: Version
    evaluation: Evaluation
    gates: list[GateResult]
    importance: dict[str, float]
    """Loss of ROC-AUC, or of R², per shuffled input, largest first."""
    fit_seconds: float
    evaluate_seconds: float


@dataclass(frozen=True)
class Fitted:
    """A model that has learned and was judged, and is nobody's challenger yet."""

    pipeline: "Pipeline"
    outcome: Outcomes
    """Labels of the judged rows, in their order; the predictions stand beside them."""
    predicted: Floats
    champion: Floats | None
    """What the serving champion says of the same rows; None where it cannot, for which `evaluation` has the reason."""
    evaluation: Evaluation
    half_life: timedelta | None
    fit_seconds: float
    evaluate_seconds: float


def train(
    settings: Settings, objective: Objective, data: TrainingSet, *, model: str, limits: Monitoring = LIMITS
) -> TrainingRun:
    """Fit, judge beside the references, explain, and register as challenger, whether or not the gates pass."""
    done = fitted(settings, objective, data, model=model)
    started = time.monotonic()
    task = task_of(objective)
    shuffled = importance(done.pipeline, data.test, data.columns, task, done.outcome, seed=objective.seed)
    explained = time.monotonic() - started
    version = registered(
        settings, objective, data, done, model=model, limits=limits, plots=plots(task, done.evaluation, shuffled)
    )
    return TrainingRun(
        version,
        done.evaluation,
        gate_results(objective.gates, done.evaluation),
        shuffled,
        done.fit_seconds,
        done.evaluate_seconds + explained,
    )


def retrained(
    settings: Settings,
    objective: Objective,
    data: TrainingSet,
    *,
    model: str,
    half_life: timedelta | None,
    limits: Monitoring = LIMITS,
) -> TrainingRun:
    """As `train`, many times a year: without importance and plots, which nobody waits for."""
    done = fitted(settings, objective, data, model=model, half_life=half_life)
    version = registered(settings, objective, data, done, model=model, limits=limits)
    gates = gate_results(objective.gates, done.evaluation)
    gates = champion_evidence(gates, task_of(objective), done.outcome, done.predicted, done.champion)
    return TrainingRun(version, done.evaluation, gates, {}, done.fit_seconds, done.evaluate_seconds)


def fitted(
    settings: Settings, objective: Objective, data: TrainingSet, *, model: str, half_life: timedelta | None = None
) -> Fitted:
    """Fit to the training rows, newer ones weighing more with a half-life, and judge beside the references."""
    started = time.monotonic()
    pipeline = fit(objective, data.train, data.columns, half_life=half_life)
    learned = time.monotonic()
    predicted = predictions(pipeline, data.test, data.columns)
    champion = champion_predictions(settings, objective, model, data.test)
    references = _references(objective, data, half_life) | {CHAMPION: champion.predicted}
    judged = evaluation(objective, data.test, predicted, references, champion_unjudged=champion.unjudged)
    return Fitted(
        pipeline,
        task_of(objective).outcomes(data.test, data.label),
        predicted,
        champion.predicted,
        judged,
        half_life,
        learned - started,
        time.monotonic() - learned,
    )


def registered(
    settings: Settings,
    objective: Objective,
    data: TrainingSet,
    done: Fitted,
    *,
    model: str,
    limits: Monitoring = LIMITS,
    plots: Mapping[str, bytes] | None = None,
) -> Version:
    """Log the run with all that promotion and monitoring need, and make it the challenger.

    `limits` say which windows monitors will look at: the baseline tells what is usual for one of training.
    """
    description = Description(
        columns=data.columns,
        label=data.label,
        bounds=training_bounds(data.train, data.columns, objective.bounds),
        lineage=data.lineage,
        evaluation=done.evaluation,
        baseline=_baseline(objective, data, done, limits),
        costs=objective.kpi.costs,
    )
    return log_challenger(
        settings,
        model,
        done.pipeline,
        description,
        data.test,
        parameters=_parameters(objective, data, done),
        plots=plots or {},
    )


def _baseline(objective: Objective, data: TrainingSet, done: Fitted, limits: Monitoring) -> Baseline:
    counted = baseline(
        data.train,
        data.columns,
        task_of(objective),
        outcome=done.outcome,
        predicted=done.predicted,
        evaluation=done.evaluation,
    )
    moved = dependence(done.pipeline, data.train, data.columns, counted, seed=objective.seed)
    fitted = predictions(done.pipeline, data.train, data.columns)
    return with_usual_windows(
        msgspec.structs.replace(counted, dependence=moved),
        data.train,
        data.test[EVENT_TIMESTAMP],
        done.predicted,
        fitted=fitted,
        fitted_usual=number_baseline(fitted),
        length=limits.window,
        minimum_rows=limits.minimum_rows,
    )


def _references(objective: Objective, data: TrainingSet, half_life: timedelta | None) -> dict[str, Floats | None]:
    """Predictions for the test rows: the mean of the training labels, and those of every declared plainer model."""
    mean = float(task_of(objective).outcomes(data.train, data.label).mean())
    found: dict[str, Floats | None] = {CONSTANT: np.full(data.test.num_rows, mean)}
    for name, features in objective.references.items():
        columns = data.columns.only(features)
        plainer = fit(objective, data.train, columns, half_life=half_life)
        found[name] = predictions(plainer, data.test, columns)
    return found


def _parameters(objective: Objective, data: TrainingSet, done: Fitted) -> dict[str, object]:
    """What was chosen, for MLflow's comparison of runs; the estimators' own parameters where they are plain values."""
    chosen = {
        name: value
        for name, value in done.pipeline.get_params().items()
        if value is None or isinstance(value, bool | int | float | str)
    }
    labels = {} if data.lineage.labels is None else label_parameters(data.lineage.labels)
    weights = {} if done.half_life is None else {"half_life_days": done.half_life / timedelta(days=1)}
    return (
        chosen
        | labels
        | weights
        | {
            "train_rows": data.train.num_rows,
            "test_rows": data.test.num_rows,
            "features": len(data.columns.names),
            "feature_service": data.lineage.service,
            **_kpi_parameters(objective),
            "seed": objective.seed,
        }
    )


def _kpi_parameters(objective: Objective) -> dict[str, object]:
    match objective.kpi:
        case Kpi(threshold=threshold):
            return {"threshold": threshold}
        case ErrorKpi(quantile=quantile):
            return {"quantile": quantile}
