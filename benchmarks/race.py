"""Running one contender of a benchmark in a process of its own, bounded in time, its memory watched."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larder.peak_memory import PeakMemory


@dataclass(frozen=True)
class Run:
    printed: Any
    """What the process said last, a line of JSON; None when it was stopped."""
    peak_memory_gb: float
    """Of the process and all that it started."""


def raced(
    script: str, contender: str, folder: Path, *, limit_seconds: float, python: Sequence[str] = (sys.executable,)
) -> Run:
    """`script --contender NAME --folder FOLDER`, stopped after so long; its messages go to `<folder>/<name>.log`."""
    command = [*python, script, "--contender", contender, "--folder", str(folder)]
    log = folder / f"{contender}.log"
    with (
        log.open("wb") as messages,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, start_new_session=True) as process,
        PeakMemory(process.pid, every_seconds=0.05) as peak,
    ):
        try:
            printed, _ = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # Java as well
            return Run(None, peak.bytes / 1e9)
    if process.returncode:
        raise SystemExit(f"{contender} failed:\n{log.read_text()[-3000:]}")
    run = Run(json.loads(printed.splitlines()[-1]), peak.bytes / 1e9)
    print(f"{contender}: {run.printed}, {run.peak_memory_gb:.2f} GB", file=sys.stderr, flush=True)
    return run
