"""What need not wait for its hour: new raw files, and a retraining that the policy finds due."""

from typing import TYPE_CHECKING

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SkipReason, sensor

from larder.contracts.errors import LarderError
from larder.contracts.ingestion import Ingestion
from larder.contracts.settings import Settings, load_settings
from larder.contracts.use_case import declared, declared_or, use_case_name
from schedules.steps import STEP

if TYPE_CHECKING:
    from training.retraining.policy import Decision


@sensor(job_name=STEP["ingest"].job, minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def new_raw_files(context: SensorEvaluationContext) -> RunRequest | SkipReason:
    """Ingest when a raw file came or changed since the last look."""
    try:
        seen = raw_files(load_settings())
    except LarderError as problem:
        return SkipReason(f"Raw files cannot be looked for: {problem}")
    if seen in ("", context.cursor):
        return SkipReason("There is no raw file that was not there before.")
    context.update_cursor(seen)
    return RunRequest(run_key=seen)


@sensor(job_name=STEP["retrain"].job, minimum_interval_seconds=600, default_status=DefaultSensorStatus.RUNNING)
def retraining_is_due(_: SensorEvaluationContext) -> RunRequest | SkipReason:
    """Retrain when the policy says so: once after each training, and the schedule asks again whatever becomes of it."""
    try:
        decision, last = retraining_decision(load_settings())
    except LarderError as problem:
        return SkipReason(f"The policy cannot be asked: {problem}")
    if not decision.is_go:
        return SkipReason("; ".join([*decision.reasons, *decision.refusals]))
    return RunRequest(run_key=f"after {last}")


def raw_files(settings: Settings) -> str:
    """The raw files as one hash; empty when there is none."""
    from pipelines.raw import listing_hash, raw_paths

    return listing_hash(raw_paths(settings.raw, declared("pipelines", Ingestion, settings).raw))


def retraining_decision(settings: Settings) -> "tuple[Decision, str]":
    """What the policy says now, and the version that was trained last; nothing is recorded."""
    from larder.contracts.objective import Objective
    from larder.contracts.retraining import Retraining
    from larder.ledger import ledger_of
    from training.retraining.policy import decide
    from training.retraining.retrain import facts

    model, objective = use_case_name(settings), declared("training", Objective, settings)
    policy = declared_or("training", Retraining(), settings)
    known = facts(settings, objective, policy, model=model, now=settings.clock(), ledger=ledger_of(settings))
    return decide(policy, known), known.last.version if known.last else "none"
