"""What must be true before a challenger may serve: its gates hold today, and its bundle lies there whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from larder.contracts.bundle import (
    MODEL_FILES,
    Manifest,
    champion_bundle,
    read_files,
    read_manifest,
    write_bundle,
)
from larder.contracts.errors import MissingTableError, SchemaMismatchError
from larder.contracts.objective import CHAMPION, METRICS, Kpi, Objective
from larder.contracts.question import other_question
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.evaluation import Evaluation, Floats, evaluation
from larder.logged_types import unkept
from training.data.training_set import TrainingData, model_columns
from training.gates import GateResult, gate_results
from training.models.export import Export, bundle_predictions, export
from training.models.fitness import fitness
from training.models.model import predictions
from training.models.tracking import Challenger, load_challenger

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Candidate:
    """A challenger as it would serve, judged against today's champion."""

    challenger: Challenger
    export: Export
    gates: list[GateResult]


@dataclass(frozen=True)
class ChampionPredictions:
    """What the serving champion answers for rows of a challenger."""

    predicted: Floats | None
    unjudged: str = ""
    """Why it cannot answer for them, in words; empty where it does."""


def candidate(
    settings: Settings,
    objective: Objective,
    release: Release,
    *,
    model: str,
    number: str | None = None,
    training_data: TrainingData,
) -> Candidate:
    """Version `number` (None: the challenger) with all gates checked, passed or not: the objective's, then its fitness.

    `training_data` builds its rows a second time. Raises SchemaMismatchError when the training file now asks for what
    it was not tested on, or says other costs.
    """
    challenger = load_challenger(settings, model, number)
    _require_same_objective(challenger, objective)
    served = export(challenger.pipeline, challenger.description.columns, challenger.test)
    gates = gate_results(objective.gates, evaluated_again(challenger, settings, objective))
    return Candidate(challenger, served, [*gates, *fitness(challenger, served, release, training_data)])


def evaluated_again(challenger: Challenger, settings: Settings, objective: Objective) -> Evaluation:
    """The challenger and today's champion, both on the rows that the challenger was tested on."""
    test, columns = challenger.test, challenger.description.columns
    champion = champion_predictions(settings, objective, challenger.version.model, test)
    again = evaluation(
        objective,
        test,
        predictions(challenger.pipeline, test, columns),
        {CHAMPION: champion.predicted},
        champion_unjudged=champion.unjudged,
    )
    logged = challenger.description.evaluation
    return replace(
        again,
        references=logged.references | again.references,
        reference_slices=logged.reference_slices | again.reference_slices,
    )


def champion_predictions(settings: Settings, objective: Objective, model: str, rows: pa.Table) -> ChampionPredictions:
    """None, and why, without a champion, with one that answers another question, and when rows lack its inputs."""
    try:
        bundle = champion_bundle(settings.bundles, model)
    except MissingTableError:
        return ChampionPredictions(None, "no version serves yet")
    manifest = read_manifest(bundle, trusted_keys=settings.trusted_keys)
    if unjudged := other_question(manifest, objective) or _lacking_inputs(manifest, rows):
        return ChampionPredictions(None, unjudged)
    files = read_files(bundle, manifest)
    return ChampionPredictions(bundle_predictions(manifest, files[MODEL_FILES[manifest.runtime]], rows))


def is_judged_for(challenger: Challenger, objective: Objective) -> bool:
    """Whether it was judged by the metrics of the objective's task, and on its label."""
    return _has_metrics(challenger, objective) and challenger.description.label == objective.label.column


def other_costs(challenger: Challenger, objective: Objective) -> str:
    """By which costs it was judged and which are declared, where these differ; else empty."""
    judged_by, declared = challenger.description.costs, objective.kpi.costs
    if judged_by in ({}, declared):
        return ""
    then, now = (", ".join(f"{name} {cost:g}" for name, cost in costs.items()) for costs in (judged_by, declared))
    return f"it was judged by the costs {then}, and the training file says {now}"


def frozen(store: "FeatureStore", settings: Settings, objective: Objective, chosen: Candidate) -> Path:
    """Write the candidate's bundle, whole or not at all.

    Raises SchemaMismatchError when features changed since, or when the prediction log could not keep them.
    """
    from larder.online.planning import feature_plan

    challenger, served = chosen.challenger, chosen.export
    description, version = challenger.description, challenger.version
    plan = feature_plan(store, description.lineage.service)
    if model_columns(plan) != description.columns:
        changed = sorted(set(model_columns(plan).names) ^ set(description.columns.names))
        raise SchemaMismatchError(
            f"Feature service {plan.service!r} is no longer what {version.model} version {version.number} was trained "
            f"on: {f'{changed} came or went' if changed else 'order or types changed'}. Run `larder train` again."
        )
    if lost := unkept(Lake(settings.lake).predictions(version.model), plan):
        raise SchemaMismatchError(
            f"{version.model} version {version.number} reads features in other types than versions before it, so its "
            f"answers could not be logged: {', '.join(lost)}, in the log and now. Give each another name and train "
            f"again; or move predictions/{version.model} out of the lake, and another log is begun."
        )
    manifest = Manifest(
        model=version.model,
        version=version.number,
        run_id=version.run_id,
        label=description.label,
        runtime=served.runtime,
        numbers=description.columns.numbers,
        strings=description.columns.strings,
        bounds=description.bounds,
        task=objective.task,
        threshold=objective.kpi.threshold if isinstance(objective.kpi, Kpi) else None,
        parity=served.max_difference,
        created_at=settings.clock().isoformat(),
        costs=objective.kpi.costs,
    )
    key = settings.signing_key
    return write_bundle(settings.bundles, manifest, plan, served.model, description.baseline, signing_key=key)


def _lacking_inputs(manifest: Manifest, rows: pa.Table) -> str:
    """Which inputs of the version the rows do not have, or as another type; empty where they have all."""

    def has(name: str, is_of_type: Callable[[pa.DataType], bool]) -> bool:
        return name in rows.column_names and is_of_type(rows.schema.field(name).type)

    lacking = [name for name in manifest.numbers if not has(name, pa.types.is_floating)]
    lacking += [name for name in manifest.strings if not has(name, pa.types.is_large_string)]
    if not lacking:
        return ""
    return f"version {manifest.version} serves and reads {sorted(lacking)}, which the feature service no longer has so"


def _require_same_objective(challenger: Challenger, objective: Objective) -> None:
    needed = {objective.label.column, *(part.column for part in objective.slices)}
    missing = sorted(needed - set(challenger.test.column_names))
    if not _has_metrics(challenger, objective):
        raise SchemaMismatchError(
            f"{challenger.version.model} version {challenger.version.number} answers {challenger.description.label!r} "
            f"and was not judged as {objective.task}, which the training file asks for now. Run `larder train` again."
        )
    if missing or challenger.description.label != objective.label.column:
        raise SchemaMismatchError(
            f"{challenger.version.model} version {challenger.version.number} was tested on label "
            f"{challenger.description.label!r} and without {missing}; the training file now asks for more. "
            "Run `larder train` again."
        )
    if costs := other_costs(challenger, objective):
        raise SchemaMismatchError(
            f"{challenger.version.model} version {challenger.version.number} cannot be released: {costs}. What it was "
            "compared with, and the threshold of a bundle that is frozen, follow from the former. Run `larder train` "
            "again, or write the former costs back."
        )


def _has_metrics(challenger: Challenger, objective: Objective) -> bool:
    return set(METRICS[objective.task]) <= set(challenger.description.evaluation.metrics)
