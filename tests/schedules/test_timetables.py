"""Cron, Kubernetes and Dagster run the same commands at the same times."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click import Context
from click.testing import CliRunner

from larder.cli import larder
from schedules.definitions import defs
from schedules.steps import STEPS, Step

INFRA = Path(__file__).parent.parent.parent / "infra"
TIMES = {step.command: step.cron for step in STEPS}


@pytest.fixture(scope="module")
def cron_jobs() -> list[dict[str, Any]]:
    return yaml.safe_load((INFRA / "kubernetes" / "cronjobs.yaml").read_text())["items"]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_is_a_command_with_these_options(step: Step):
    if step.command[0] not in larder.list_commands(Context(larder)):
        pytest.skip(f"larder has no command {step.command[0]} here")

    asked = CliRunner().invoke(larder, [*step.command, "--help"])

    assert asked.exit_code == 0, asked.output
    assert all(option in asked.output for option in step.command if option.startswith("--"))


def test_cron_runs_every_step_at_its_time():
    lines = (INFRA / "cron" / "larder.cron").read_text().splitlines()
    entries = [line.split(maxsplit=5) for line in lines if line and (line[0].isdigit() or line[0] == "*")]

    found = {tuple(entry[5].split(" larder ")[1].split()): " ".join(entry[:5]) for entry in entries}
    assert found == TIMES


def test_kubernetes_runs_every_step_at_its_time(cron_jobs: list[dict[str, Any]]):
    found = {}
    for job in cron_jobs:
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        found[tuple(container["args"])] = job["spec"]["schedule"]

    assert found == TIMES


def test_every_cron_job_is_valid_and_never_runs_twice_at_once(cron_jobs: list[dict[str, Any]]):
    assert len({job["metadata"]["name"] for job in cron_jobs}) == len(STEPS)
    for job in cron_jobs:
        kubernetes_validate.validate(job, "1.30", strict=True)
        assert job["spec"]["concurrencyPolicy"] == "Forbid"


def test_dagster_runs_the_job_of_every_step_at_its_time():
    found = {schedule.job_name: schedule.cron_schedule for schedule in defs.schedules or []}

    assert found == {step.job: step.cron for step in STEPS}
