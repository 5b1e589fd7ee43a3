"""Which engine answers a retrieval, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from larder.contracts.errors import DependencyError
from larder.offline.join import embedded, spark
from larder.offline.join.shares import stored_bytes
from larder.offline.lookup import Lookup

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GIGABYTE = 1e9


@dataclass(frozen=True)
class Engine:
    """One way to answer; all give the same bytes."""

    name: Literal["embedded", "spark"]
    reason: str
    """Why this one, in words that go behind its name."""
    features_as_of: Callable[..., dict[str, pa.ChunkedArray]]


def chosen_engine(config: Any, lookups: Sequence[Lookup]) -> Engine:
    """The engine that `config`, a DeltaOfflineStoreConfig, names; with `auto` by the bytes that may be read."""
    if config.engine == "embedded":
        return _embedded("offline_store.engine says so")
    if config.engine == "spark":
        return _spark("offline_store.engine says so")
    tables = {lookup.history.table: lookup.history for lookup in lookups}
    gigabytes = sum(stored_bytes(history) for history in tables.values()) / GIGABYTE
    compared = f"{gigabytes:.1f} GB of history, and Spark begins at {config.spark_from_gigabytes:g} GB"
    if gigabytes < config.spark_from_gigabytes:
        return _embedded(compared)
    return _spark(compared) if find_spec("pyspark") else _embedded(f"{compared}, but pyspark is not installed")


def _embedded(reason: str) -> Engine:
    return Engine("embedded", reason, embedded.features_as_of)


def _spark(reason: str) -> Engine:
    if not find_spec("pyspark"):
        raise DependencyError(
            "offline_store.engine is 'spark', but pyspark is not installed. Install `larder[spark]`, or set the engine "
            "to 'embedded' or 'auto' in feature_store.yaml."
        )
    return Engine("spark", reason, partial(spark.features_as_of, session=_session))


def _session() -> "SparkSession":
    from larder.contracts.settings import load_settings
    from larder.spark.session import spark_session

    return spark_session(load_settings(), app_name="larder-offline")
