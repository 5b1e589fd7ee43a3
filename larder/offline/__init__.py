"""Feast's offline store on Delta Lake: point-in-time reads that see what serving would have seen."""

from larder.offline.source import DeltaSource
from larder.offline.storage import SavedDatasetDeltaStorage
from larder.offline.store import DeltaOfflineStore, DeltaOfflineStoreConfig

__all__ = ["DeltaOfflineStore", "DeltaOfflineStoreConfig", "DeltaSource", "SavedDatasetDeltaStorage"]
