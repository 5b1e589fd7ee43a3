"""Finding the four files of a use case: `<stage>/<use case>.py` under the project's home."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings

Declaration = TypeVar("Declaration")


def use_case_name(settings: Settings) -> str:
    """The configured use case, or the only one there is."""
    found = sorted(path.stem for path in settings.feature_repo.glob("*.py") if not path.stem.startswith("_"))
    if settings.use_case:
        if settings.use_case not in found:
            raise ConfigurationError(
                f"LARDER_USE_CASE is {settings.use_case!r}, but {settings.feature_repo} holds {found or 'no use case'}."
            )
        return settings.use_case
    if len(found) != 1:
        raise ConfigurationError(
            f"{settings.feature_repo} holds {len(found)} use cases: {found}. "
            "Name the one to run in LARDER_USE_CASE, or add one (docs/use_your_own_data.md)."
        )
    return found[0]


def use_case_module(stage: str, settings: Settings) -> ModuleType:
    """The module `<home>/<stage>/<use case>.py`, loaded by its path so that any folder can be a project."""
    name = use_case_name(settings)
    path = settings.home / stage / f"{name}.py"
    if not path.is_file():
        raise ConfigurationError(
            f"The use case {name!r} has no {stage}/{name}.py under {settings.home}. "
            f"Copy {stage}'s file of the example and edit it (docs/use_your_own_data.md)."
        )
    qualified = f"larder_use_case_{stage}_{name}"
    spec = importlib.util.spec_from_file_location(qualified, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} cannot be loaded as a Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module
    spec.loader.exec_module(module)
    return module


def declared(stage: str, kind: type[Declaration], settings: Settings) -> Declaration:
    """The single instance of `kind` that the use case file of `stage` declares at top level."""
    module = use_case_module(stage, settings)
    instances = [value for value in vars(module).values() if isinstance(value, kind)]
    if len(instances) != 1:
        raise ConfigurationError(
            f"{module.__file__} declares {len(instances)} objects of {kind.__name__}; it must declare exactly one."
        )
    return instances[0]


def declared_or(stage: str, default: Declaration, settings: Settings) -> Declaration:
    """The single instance of `default`'s class that the use case file of `stage` declares, else `default`."""
    kind = type(default)
    if any(isinstance(value, kind) for value in vars(use_case_module(stage, settings)).values()):
        return declared(stage, kind, settings)
    return default


def place_in_use_case(problem: BaseException, settings: Settings) -> str:
    """`pipelines/orders.py, line 12`: the last line of a file of the project on the way to `problem`; else empty."""
    names = {path.name for path in settings.feature_repo.glob("*.py")}
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(problem.__traceback__)]
    if isinstance(problem, SyntaxError):  # the file that cannot be read has no frame
        places.append((problem.filename or "", problem.lineno))
    for filename, line in reversed(places):
        path = Path(filename)
        if path.name in names and (path.parent.parent == settings.home or path.parent == settings.feature_repo):
            return f"{path.relative_to(settings.home)}, line {line}"
    return ""
