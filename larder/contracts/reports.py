"""What each command leaves behind for the run's report: one JSON file per step."""

from pathlib import Path
from typing import Any

import msgspec

from larder.contracts.settings import Settings
from larder.whole_file import write_whole


def write_report(settings: Settings, step: str, content: Any) -> Path:
    """Write `<state>/reports/<step>.json` whole or not at all."""
    path = settings.reports / f"{step}.json"
    write_whole(path, msgspec.json.format(msgspec.json.encode(content), indent=1))
    return path


def read_report(settings: Settings, step: str) -> Any | None:
    """The step's last result, or None when it has not run."""
    path = settings.reports / f"{step}.json"
    return msgspec.json.decode(path.read_bytes()) if path.is_file() else None
