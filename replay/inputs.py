"""What a lake is made from, as one hash, kept in the lake's state folder."""

import hashlib
import shutil
from pathlib import Path

from larder.contracts.ingestion import Ingestion
from larder.contracts.objective import Objective
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, use_case_name
from larder.whole_file import write_whole
from pipelines.raw import listing_hash, provide_example, raw_paths

_INPUTS = "inputs"


def inputs_hash(settings: Settings) -> str:
    """Changes with the files of features and ingestion, the label, and the raw files' names, sizes and times.

    The rest of the training file, like its policy, says how to live in a lake and not what lies in it.
    """
    ingestion = declared("pipelines", Ingestion, settings)
    provide_example(ingestion, settings)
    file = f"{use_case_name(settings)}.py"
    parts = [
        (settings.feature_repo / file).read_text(),
        (settings.home / "pipelines" / file).read_text(),
        repr(declared("training", Objective, settings).label),
        # Who makes the lake says that raw files are missing, after what is wrong with the definitions.
        listing_hash(raw_paths(settings.raw, ingestion.raw)) if settings.raw.is_dir() else "",
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_made_from(state: Path, inputs: str) -> bool:
    """Whether `mark` said so of the folder."""
    mark = state / _INPUTS
    return mark.is_file() and mark.read_text() == inputs


def mark(state: Path, inputs: str) -> None:
    write_whole(state / _INPUTS, inputs.encode())


def remove_unless_made_from(state: Path, inputs: str) -> None:
    """Delete a state folder made, or half made, from something else, and mark the new one."""
    if not is_made_from(state, inputs):
        shutil.rmtree(state, ignore_errors=True)
        mark(state, inputs)
