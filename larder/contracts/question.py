"""Whether a version answers what the training file asks: a use case may go over from yes or no to a number."""

from larder.contracts.bundle import Manifest
from larder.contracts.objective import CLASSIFICATION, Objective


def other_question(manifest: Manifest, objective: Objective) -> str:
    """What the version answers and what is asked, where these differ; empty where it answers what is asked."""
    if (manifest.task, manifest.label) == (objective.task, objective.label.column):
        return ""
    answered, asked = _in_words(manifest.task, manifest.label), _in_words(objective.task, objective.label.column)
    return f"version {manifest.version} answers {answered}, and the training file asks for {asked}"


def _in_words(task: str, label: str) -> str:
    return f"yes or no ({label})" if task == CLASSIFICATION else f"a number ({label})"
