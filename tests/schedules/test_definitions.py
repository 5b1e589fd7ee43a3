"""Assets run the commands; checks tell what the commands and the monitors found."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetCheckSeverity,
    DagsterInstance,
    Definitions,
    materialize,
)
from dagster._core.instance.ref import InstanceRef

from larder.contracts.monitoring import Finding, Verdict
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.findings import append_findings
from larder.ledger import Act, ledger_of
from schedules.assets import silver_tables
from schedules.checks import MONITORS, monitor_result
from schedules.definitions import STEP_TAG, defs
from schedules.steps import STEPS
from tests.schedules.test_timetables import INFRA

NOON = datetime(2024, 2, 20, 12, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as made:
        yield made


def finding(monitor: str, verdict: Verdict, *, at: datetime = NOON) -> Finding:
    window = (at - timedelta(days=1), at)
    return Finding(at, *window, monitor, str(verdict), "psi", 0.5, 0.25, verdict, "300 rows against 4,000.")


def test_dagster_loads_all_definitions_and_every_step_has_a_job():
    Definitions.validate_loadable(defs)

    assert {job.name for job in defs.resolve_all_job_defs()} >= {step.job for step in STEPS}


def test_the_instance_allows_one_run_of_a_step_at_a_time_and_reports_to_nobody(tmp_path: Path):
    shutil.copy(INFRA / "dagster" / "dagster.yaml", tmp_path)

    # Reads and validates the file as every Dagster process does at its start.
    settings = InstanceRef.from_dir(str(tmp_path)).settings

    assert settings["telemetry"] == {"enabled": False}
    assert settings["concurrency"]["runs"]["tag_concurrency_limits"] == [
        {"key": STEP_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]


def test_a_step_that_fails_fails_its_asset_with_the_last_line_that_the_command_said(
    settings: Settings, instance: DagsterInstance
):
    result = materialize([silver_tables], instance=instance, raise_on_error=False)

    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert not result.success
    assert "`larder ingest` ended with 2: Error: No file in" in str(failure.step_failure_data.user_failure_data)


@pytest.mark.parametrize(
    ("verdicts", "passed", "severity", "said"),
    [
        ([Verdict.OK, Verdict.OK], True, AssetCheckSeverity.WARN, ""),
        ([Verdict.OK, Verdict.UNKNOWN, Verdict.ALARM], False, AssetCheckSeverity.ERROR, "alarm: 300 rows"),
        ([Verdict.OK, Verdict.UNKNOWN], False, AssetCheckSeverity.WARN, "cannot tell: 300 rows"),
        ([], False, AssetCheckSeverity.WARN, "found nothing"),
    ],
    ids=["ok", "an alarm", "cannot tell", "silent"],
)
def test_the_check_of_a_monitor_is_its_worst_verdict(
    verdicts: list[Verdict], passed: bool, severity: AssetCheckSeverity, said: str
):
    found = [finding("drift", verdict) for verdict in verdicts] + [finding("volume", Verdict.ALARM)]

    result = monitor_result("drift", found)

    assert (result.passed, result.severity) == (passed, severity)
    assert said in (result.description or "")


def checked(instance: DagsterInstance, *names: str) -> dict[str, bool]:
    """Run these checks alone: name -> passed."""
    keys = {key for key in defs.resolve_asset_graph().asset_check_keys if key.name in names}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=keys, asset_selection=set())
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def test_every_monitor_has_a_check_which_reads_the_newest_run(settings: Settings, instance: DagsterInstance):
    place = Lake(settings.lake).monitoring("returns")
    append_findings(place, [finding("volume", Verdict.ALARM, at=NOON - timedelta(days=1))])
    append_findings(place, [finding("drift", Verdict.ALARM), finding("volume", Verdict.OK)])

    assert checked(instance, *MONITORS) == {name: name == "volume" for name in MONITORS}


def test_an_edited_ledger_fails_its_check(settings: Settings, instance: DagsterInstance):
    ledger = ledger_of(settings)
    for number in range(2):
        ledger.append(Act.DECISION, "returns", at=NOON, reason=f"reason {number}")
    assert checked(instance, "decisions_are_whole") == {"decisions_are_whole": True}

    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"reason 0", b"reason 9"))

    assert checked(instance, "decisions_are_whole") == {"decisions_are_whole": False}
