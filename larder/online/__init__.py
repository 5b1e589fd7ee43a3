"""The online store: latest values in Redis as packed records, and the reader that serves them.

The names below load on first use, so that a serving process imports neither Feast nor Arrow.
"""

from typing import TYPE_CHECKING, Any

from larder.extras import loaded

if TYPE_CHECKING:
    from larder.online.reading.compiled import FeatureRows, Status
    from larder.online.reading.reader import AsyncFeatureReader, FeatureReader
    from larder.online.store import RedisOnlineStore, RedisOnlineStoreConfig

__all__ = ["AsyncFeatureReader", "FeatureReader", "FeatureRows", "RedisOnlineStore", "RedisOnlineStoreConfig", "Status"]

_MODULES = {
    "AsyncFeatureReader": "reading.reader",
    "FeatureReader": "reading.reader",
    "FeatureRows": "reading.compiled",
    "Status": "reading.compiled",
    "RedisOnlineStore": "store",
    "RedisOnlineStoreConfig": "store",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return loaded(f"{__name__}.{_MODULES[name]}", name)
