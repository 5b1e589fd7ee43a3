"""`larder run`: every step, from raw files to answers, as the commands that a user would type."""

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from larder.child_process import waited_for
from larder.contracts.errors import LarderError
from larder.contracts.reports import read_report, write_report
from larder.contracts.settings import Settings
from larder.peak_memory import PeakMemory

STEPS = ("ingest", "features", "train", "promote", "verify", "ask", "report")
_JUDGEMENTS = ("promote", "verify")
GIGABYTE = 1e9


@dataclass(frozen=True)
class StepRun:
    """One finished step."""

    step: str
    command: str
    seconds: float
    peak_memory_gb: float
    """Largest sum of resident memory over the step's processes, sampled; 1 GB = 10^9 bytes."""


@click.command()
@click.option("--from", "first", type=click.Choice(STEPS), default=STEPS[0], help="Start with this step.")
@click.pass_obj
def run(settings: Settings, first: str) -> None:
    """Take the raw data through every stage to a serving champion, and report.

    The steps are the other commands of `larder`, each in a process of its own; a second run repeats only
    what is new. Ends with a report in the terminal and in report.html.
    """
    console = Console()
    at = settings.clock()
    console.print(
        f"[bold]Larder[/] runs at {at:%Y-%m-%d %H:%M} UTC; state in {escape(str(settings.state))}", highlight=False
    )
    done = _earlier(settings, before=first)
    for step in STEPS[STEPS.index(first) :]:
        console.rule(f"{len(done) + 1}/{len(STEPS)} larder {step}", align="left")
        if step == "report":
            write_report(settings, "run", _run_report(done, clock=at.isoformat()))
        try:
            done.append(_finished(step))
        except LarderError:
            if step in _JUDGEMENTS:  # a verdict against the model belongs into the report as well
                write_report(settings, "run", _run_report(done, clock=at.isoformat()))
                _finished("report")
            raise
        console.print(f"[dim]{step}: {done[-1].seconds:.1f} s, {done[-1].peak_memory_gb:.1f} GB[/]", highlight=False)


def _earlier(settings: Settings, *, before: str) -> list[StepRun]:
    """What the last run measured of the steps that this one leaves out."""
    skipped = STEPS[: STEPS.index(before)]
    last = (read_report(settings, "run") or {"steps": []})["steps"] if skipped else []
    return [StepRun(**item) for item in last if item["step"] in skipped]


def _finished(step: str) -> StepRun:
    """Run one step to its end. Raises LarderError when it fails; its own message stands above."""
    started = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "larder", step]) as process, PeakMemory(process.pid) as peak:
        code = waited_for(process)
    if code != 0:
        raise LarderError(
            f"Step {step!r} ended with exit code {code}; its message is above. "
            f"Mend the cause, then go on with `larder run --from {step}`."
        )
    return StepRun(step, f"larder {step}", time.monotonic() - started, peak.bytes / GIGABYTE)


def _run_report(done: list[StepRun], *, clock: str) -> dict[str, Any]:
    return {
        "clock": clock,
        "seconds": {item.step: round(item.seconds, 2) for item in done},
        "peak_memory_gb": {item.step: round(item.peak_memory_gb, 2) for item in done},
        "steps": [asdict(item) for item in done],
    }
