"""What each command leaves behind for the run's report: one JSON file per step."""

import os
from pathlib import Path
from typing import Any

import msgspec

from larder.contracts.settings import Settings


def write_report(settings: Settings, step: str, content: Any) -> Path:
    """Write `<state>/reports/<step>.json` whole or not at all."""
    settings.reports.mkdir(parents=True, exist_ok=True)
    path = settings.reports / f"{step}.json"
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1))
    os.replace(partial, path)
    return path


def read_report(settings: Settings, step: str) -> Any | None:
    """The step's last result, or None when it has not run."""
    path = settings.reports / f"{step}.json"
    return msgspec.json.decode(path.read_bytes()) if path.is_file() else None
