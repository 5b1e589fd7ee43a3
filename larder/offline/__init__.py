"""Feast's offline store on Delta Lake: point-in-time reads that see what serving would have seen.

The names below load on first use, so that a Spark task does not import Feast.
"""

from typing import TYPE_CHECKING, Any

from larder.extras import loaded

if TYPE_CHECKING:
    from larder.offline.logs import DeltaLoggingDestination
    from larder.offline.source import DeltaSource
    from larder.offline.storage import SavedDatasetDeltaStorage
    from larder.offline.store import DeltaOfflineStore, DeltaOfflineStoreConfig
    from larder.versions.pins import table_versions

__all__ = [
    "DeltaLoggingDestination",
    "DeltaOfflineStore",
    "DeltaOfflineStoreConfig",
    "DeltaSource",
    "SavedDatasetDeltaStorage",
    "table_versions",
]

_MODULES = {
    "DeltaLoggingDestination": "larder.offline.logs",
    "DeltaOfflineStore": "larder.offline.store",
    "DeltaOfflineStoreConfig": "larder.offline.store",
    "DeltaSource": "larder.offline.source",
    "SavedDatasetDeltaStorage": "larder.offline.storage",
    "table_versions": "larder.versions.pins",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return loaded(_MODULES[name], name)
