"""Which Redis the features of a project are in, told without Feast, whose import takes seconds."""

import os
from pathlib import Path
from typing import Any

import yaml

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.online.server.embedded import online_address

STORE = "larder.online.RedisOnlineStore"


def project_address(settings: Settings) -> str:
    """LARDER_REDIS, else the connection string in feature_store.yaml; starts the embedded server where asked for.

    Raises ConfigurationError when the features are in a store of another kind, or the file cannot be read.
    """
    file = settings.feature_repo / "feature_store.yaml"
    if not file.is_file():
        return online_address(settings)
    store = _online_store(file)
    if not str(store.get("type")).startswith("larder.online."):
        raise ConfigurationError(
            f"The features of {file} are in the online store {store.get('type', 'sqlite')!r}, which Larder neither "
            f"starts nor looks into. Set online_store.type to {STORE}, or ask that store itself."
        )
    return online_address(settings, str(store.get("connection_string") or "embedded"))


def _online_store(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(os.path.expandvars(file.read_text()))
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise ConfigurationError(f"{file} cannot be read ({' '.join(str(problem).split())}). Correct it.") from None
    store = content.get("online_store") if isinstance(content, dict) else None
    return store if isinstance(store, dict) else {} if store is None else {"type": store}
