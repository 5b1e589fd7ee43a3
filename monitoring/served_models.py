"""What the bundles of the versions that answered say; read once per process, for a bundle never changes."""

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from larder.contracts.bundle import bundle_baseline, bundle_plan, read_files, read_manifest
from larder.contracts.errors import LarderError
from larder.contracts.monitoring import Baseline
from larder.contracts.objective import Objective
from larder.contracts.question import other_question
from monitoring.monitors.answers import ServedModel


@lru_cache(maxsize=64)
def served_model(bundle: Path) -> ServedModel:
    """Raises MissingTableError when there is no such bundle, InvalidDataError when it is damaged."""
    manifest = read_manifest(bundle)
    plan = bundle_plan(read_files(bundle, manifest))
    return ServedModel(manifest.version, plan, bundle_baseline(bundle), manifest.task)


def baseline_or_none(bundle: Path) -> Baseline | None:
    """None as well for a bundle that is gone: then there is nothing to compare with."""
    with suppress(LarderError):
        return served_model(bundle).baseline
    return None


def costs_of(bundle: Path) -> Mapping[str, float]:
    """Empty as well for a bundle that is gone: then those count that are declared."""
    with suppress(LarderError):
        return read_manifest(bundle).costs
    return {}


def has_inputs(bundle: Path, names: list[str]) -> bool:
    """Whether the model of that bundle reads these columns; False when the bundle is gone."""
    with suppress(LarderError):
        return [column.name for column in served_model(bundle).plan.columns] == names
    return False


def other_question_of(bundle: Path, objective: Objective) -> str:
    """As `other_question`; empty as well for a bundle that is gone."""
    with suppress(LarderError):
        return other_question(read_manifest(bundle), objective)
    return ""
