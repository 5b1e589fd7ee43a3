"""`larder replay`: live through a time again, under one policy or all of them."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from larder.contracts.clock import parsed_instant
from larder.contracts.retraining import POLICIES
from larder.contracts.settings import Settings

if TYPE_CHECKING:
    from replay.incidents import Incident
    from replay.result import Result
    from replay.worker import Task


@click.command()
@click.option("--from", "start", metavar="INSTANT", required=True, help="The replay begins here (ISO 8601).")
@click.option("--to", "until", metavar="INSTANT", required=True, help="It ends here.")
@click.option(
    "--policy",
    "policies",
    type=click.Choice((*POLICIES, "all")),
    default="automatic",
    show_default=True,
    help="When to retrain; `automatic` is the declared policy.",
)
@click.option(
    "--incidents",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of what goes wrong.",
)
@click.option("--json", "is_json", is_flag=True, help="End with one line of JSON.")
@click.pass_obj
def replay(settings: Settings, start: str, until: str, policies: str, path: Path | None, is_json: bool) -> None:
    """Live through a time as it happened: data arrive when they arrived, answers are given an hour ahead or so as
    the labels say, labels mature, monitors run, models are retrained, released and rolled back.

    Everything is written below <state>/replay; nothing else is touched. The lake is prepared once for the same
    times, incidents, raw files, features, ingestion and label, then each policy lives through it.
    """
    import msgspec
    from rich.console import Console

    from replay.incidents import read_incidents
    from replay.plots import comparison_plot
    from replay.report import comparison_table, incident_table, summary

    begin, end = parsed_instant(start, name="--from"), parsed_instant(until, name="--to")
    _require_order(begin, end)
    incidents = () if path is None else read_incidents(path)
    names = POLICIES if policies == "all" else (policies,)
    results = [_result(settings, name, begin, end, incidents) for name in names]
    console = Console(stderr=is_json)
    console.print(comparison_table(results))
    if incidents:
        console.print(incident_table(results))
    plot = _folder(settings, begin, end, incidents) / f"{policies}.svg"
    plot.write_bytes(comparison_plot(results))
    console.print(f"Plot: {plot}", highlight=False, markup=False, soft_wrap=True)
    if is_json:
        click.echo(msgspec.json.encode(summary(results)).decode())


def _require_order(begin: datetime, end: datetime) -> None:
    from larder.contracts.errors import ConfigurationError

    if end - begin < timedelta(days=1):
        raise ConfigurationError(
            f"--from is {begin.isoformat()} and --to {end.isoformat()}; a replay lasts a day at least. Correct the two."
        )


def _result(
    settings: Settings, policy: str, begin: datetime, end: datetime, incidents: "Sequence[Incident]"
) -> "Result":
    import msgspec

    from replay.result import Result
    from replay.worker import RESULT, Task

    folder = _folder(settings, begin, end, incidents)
    source, prepared, state = settings.state / "replay" / "source", folder / "prepared", folder / policy
    task = Task(str(source), str(prepared), begin, end, tuple(incidents))
    _prepare(task, source, prepared, settings)
    _run(msgspec.structs.replace(task, policy=policy), _own(settings, state))
    return msgspec.json.decode((state / RESULT).read_bytes(), type=Result)


def _prepare(task: "Task", source: Path, prepared: Path, settings: Settings) -> None:
    """Make both lakes anew where they were made from other raw files or another use case: never taken for these."""
    from replay.inputs import inputs_hash, is_made_from, mark, remove_unless_made_from

    inputs = inputs_hash(settings)
    if not is_made_from(prepared, inputs):
        remove_unless_made_from(source, inputs)  # an ingestion that was interrupted goes on
        _run(task, _own(settings, prepared))
        mark(prepared, inputs)


def _folder(settings: Settings, begin: datetime, end: datetime, incidents: "Sequence[Incident]") -> Path:
    """One per time and incidents."""
    import msgspec

    digest = hashlib.sha256(msgspec.json.encode([begin, end, incidents])).hexdigest()[:8]
    return settings.state / "replay" / f"{begin:%Y%m%d}-{end:%Y%m%d}-{digest}"


def _own(settings: Settings, state: Path) -> Settings:
    """Settings with a state folder of their own, made empty."""
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    jars = settings.state / "ivy"
    jars.mkdir(parents=True, exist_ok=True)
    (state / "ivy").symlink_to(jars, target_is_directory=True)
    return replace(
        settings,
        state=state,
        lake=str(state / "lake"),
        redis="embedded",
        registry=f"sqlite:///{state / 'registry.db'}",
        mlflow=f"sqlite:///{state / 'mlflow.db'}",
    )


def _run(task: "Task", settings: Settings) -> None:
    """Work in a process of its own, whose settings are what Feast's plug-ins see there."""
    import msgspec

    from larder.child_process import waited_for
    from larder.contracts.errors import LarderError
    from larder.contracts.settings import environment_of

    arguments = [sys.executable, "-m", "replay.worker", msgspec.json.encode(task).decode()]
    arguments += ["--debug"] if "--debug" in sys.argv else []
    with subprocess.Popen(arguments, env=environment_of(settings)) as process:
        code = waited_for(process)
    if code == LarderError.exit_code:
        sys.exit(code)  # it has said why
    if code != 0:
        raise LarderError(
            f"The replay ended early, with exit code {code}; its message is above, and what it left lies "
            f"in {settings.state}."
        )
