"""What `feature_store.yaml` says of a store, read without Feast, whose import takes seconds."""

import os
from pathlib import Path
from typing import Any

import yaml

from larder.contracts.errors import ConfigurationError

FEATURE_STORE = "feature_store.yaml"


def store_section(folder: Path, name: str) -> dict[str, Any]:
    """The settings under `name` in the file of `folder`; none where there is no such file or section.

    Raises ConfigurationError for a file that cannot be read or says no settings.
    """
    store = _content(folder / FEATURE_STORE).get(name)
    return store if isinstance(store, dict) else {} if store is None else {"type": store}


def _content(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = yaml.safe_load(os.path.expandvars(file.read_text()))
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise ConfigurationError(f"{file} cannot be read ({' '.join(str(problem).split())}). Correct it.") from None
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{file} holds {'nothing' if content is None else repr(content)[:40]}, not settings by name. Write at "
            "least project, registry, provider and the stores into it (docs/use_your_own_data.md)."
        )
    return content
