"""All that Dagster loads: assets, checks, a job and a schedule per step, sensors."""

from dagster import (
    AssetSelection,
    DefaultScheduleStatus,
    Definitions,
    ScheduleDefinition,
    define_asset_job,
)

from schedules.assets import ASSETS
from schedules.checks import decisions_are_whole, online_equals_offline, verdicts
from schedules.sensors import new_raw_files, retraining_is_due
from schedules.steps import STEPS, Step

STEP_TAG = "larder/step"
"""By which infra/dagster/dagster.yaml keeps a step from running twice at once."""


def selection(step: Step) -> AssetSelection:
    """What the step makes, alone: its checks with it, except for the comparison, which is a step of its own."""
    comparison = AssetSelection.checks(online_equals_offline)
    return comparison if step.name == "verify" else AssetSelection.assets(ASSETS[step.name]) - comparison


def schedule(step: Step) -> ScheduleDefinition:
    return ScheduleDefinition(
        name=f"{step.name}_schedule",
        job_name=step.job,
        cron_schedule=step.cron,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
    )


defs = Definitions(
    assets=[*ASSETS.values()],
    asset_checks=[verdicts, online_equals_offline, decisions_are_whole],
    jobs=[define_asset_job(step.job, selection(step), tags={STEP_TAG: step.name}) for step in STEPS],
    schedules=[schedule(step) for step in STEPS],
    sensors=[new_raw_files, retraining_is_due],
)
