"""What `feature_store.yaml` says of a store, read without Feast, whose import takes seconds."""

import os
from pathlib import Path
from typing import Any

import yaml

from larder.contracts.errors import ConfigurationError

FEATURE_STORE = "feature_store.yaml"


def store_section(folder: Path, name: str) -> dict[str, Any]:
    """The settings under `name` in the file of `folder`; none where there is no such file or section.

    Raises ConfigurationError for a file that cannot be read.
    """
    file = folder / FEATURE_STORE
    if not file.is_file():
        return {}
    try:
        content = yaml.safe_load(os.path.expandvars(file.read_text()))
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise ConfigurationError(f"{file} cannot be read ({' '.join(str(problem).split())}). Correct it.") from None
    store = content.get(name) if isinstance(content, dict) else None
    return store if isinstance(store, dict) else {} if store is None else {"type": store}
