"""What each command leaves behind for the run's report: one JSON file per step."""

from pathlib import Path
from typing import Any

import msgspec

from larder.contracts.errors import InvalidDataError
from larder.contracts.settings import Settings
from larder.whole_file import write_whole


def write_report(settings: Settings, step: str, content: Any) -> Path:
    """Write `<state>/reports/<step>.json` whole or not at all."""
    path = settings.reports / f"{step}.json"
    write_whole(path, msgspec.json.format(msgspec.json.encode(content), indent=1))
    return path


def read_report(settings: Settings, step: str) -> Any | None:
    """The step's last result, or None when it has not run. Raises InvalidDataError for one that is damaged."""
    path = settings.reports / f"{step}.json"
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as problem:
        raise InvalidDataError(
            f"{path} is damaged: {problem}. Run `larder {step}` again, which writes it anew."
        ) from problem
