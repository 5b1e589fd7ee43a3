"""Which Redis the features of a project are in, told without Feast, whose import takes seconds."""

from larder.contracts.errors import ConfigurationError
from larder.contracts.feature_store_file import FEATURE_STORE, store_section
from larder.contracts.settings import Settings
from larder.online.server.embedded import online_address

STORE = "larder.online.RedisOnlineStore"


def project_address(settings: Settings) -> str:
    """LARDER_REDIS, else the connection string in feature_store.yaml; starts the embedded server where asked for.

    Raises ConfigurationError when the features are in a store of another kind, or the file cannot be read.
    """
    file = settings.feature_repo / FEATURE_STORE
    if not file.is_file():
        return online_address(settings)
    store = store_section(settings.feature_repo, "online_store")
    if not str(store.get("type")).startswith("larder.online."):
        raise ConfigurationError(
            f"The features of {file} are in the online store {store.get('type', 'sqlite')!r}, which Larder neither "
            f"starts nor looks into. Set online_store.type to {STORE}, or ask that store itself."
        )
    return online_address(settings, str(store.get("connection_string") or "embedded"))
