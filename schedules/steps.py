"""The steps that keep a model alive, each one idempotent command, and how often each runs."""

import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A command that may run at any time and any number of times. infra/cron and infra/kubernetes say the same."""

    name: str
    command: tuple[str, ...]
    """Arguments of `larder`."""
    cron: str
    """Minute, hour, day of month, month, day of week; UTC."""

    @property
    def job(self) -> str:
        return f"{self.name}_job"


STEPS = (
    Step("ingest", ("ingest",), "5 * * * *"),
    Step("features", ("features",), "20 * * * *"),
    Step("verify", ("verify", "--sample", "1000"), "35 * * * *"),
    Step("release", ("release",), "50 * * * *"),
    Step("monitor", ("monitor",), "10 1 * * *"),
    Step("retrain", ("retrain", "--if-needed"), "40 1 * * *"),
)
STEP = {step.name: step for step in STEPS}


@dataclass(frozen=True)
class Finished:
    code: int
    output: str
    """What the command printed, errors included."""

    @property
    def conclusion(self) -> str:
        """The last line, in which every command says how it ended."""
        return next((line for line in reversed(self.output.splitlines()) if line.strip()), "")


def run(step: Step) -> Finished:
    """The step's command in a process of its own, so that its memory, Spark included, ends with it."""
    command = [sys.executable, "-m", "larder", *step.command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return Finished(done.returncode, done.stdout)
