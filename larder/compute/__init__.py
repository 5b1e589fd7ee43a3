"""Windows on Spark: from silver events to gold features, and on to the online store.

The names below load on first use, so that a Spark task does not import Feast.
"""

from typing import TYPE_CHECKING, Any

from larder.extras import loaded

if TYPE_CHECKING:
    from larder.compute.declaration import Statistic, windowed
    from larder.compute.engine import SparkFeatureEngine, SparkFeatureEngineConfig

__all__ = ["SparkFeatureEngine", "SparkFeatureEngineConfig", "Statistic", "windowed"]

_MODULES = {
    "SparkFeatureEngine": "engine",
    "SparkFeatureEngineConfig": "engine",
    "Statistic": "declaration",
    "windowed": "declaration",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return loaded(f"{__name__}.{_MODULES[name]}", name)
