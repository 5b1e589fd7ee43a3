"""Feast's offline store on Delta Lake: point-in-time reads that see what serving would have seen.

The names below load on first use, so that a Spark task does not import Feast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from larder.offline.logs import DeltaLoggingDestination
    from larder.offline.source import DeltaSource
    from larder.offline.storage import SavedDatasetDeltaStorage
    from larder.offline.store import DeltaOfflineStore, DeltaOfflineStoreConfig

__all__ = [
    "DeltaLoggingDestination",
    "DeltaOfflineStore",
    "DeltaOfflineStoreConfig",
    "DeltaSource",
    "SavedDatasetDeltaStorage",
]

_MODULES = {
    "DeltaLoggingDestination": "logs",
    "DeltaOfflineStore": "store",
    "DeltaOfflineStoreConfig": "store",
    "DeltaSource": "source",
    "SavedDatasetDeltaStorage": "storage",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
