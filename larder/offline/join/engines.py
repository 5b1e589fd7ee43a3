"""Which engine answers a retrieval, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from larder.contracts.errors import DependencyError
from larder.offline.join import embedded, spark
from larder.offline.join.shares import stored_bytes
from larder.offline.retrieval.lookup import Lookup

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig
    from pyspark.sql import SparkSession

GIGABYTE = 1e9


Name = Literal["embedded", "spark"]


@dataclass(frozen=True)
class Choice:
    """Of an engine, and why this one, in words that go behind its name."""

    name: Name
    reason: str


@dataclass(frozen=True)
class Engine(Choice):
    """One way to answer; all give the same bytes."""

    features_as_of: Callable[..., dict[str, pa.ChunkedArray]]


def chosen_engine(config: "RepoConfig", lookups: Sequence[Lookup]) -> Engine:
    """The engine that `config.offline_store` names; with `auto` by the bytes that may be read."""
    tables = {lookup.history.table: lookup.history for lookup in lookups}
    choice = choice_of(config.offline_store, lambda: sum(stored_bytes(history) for history in tables.values()))
    if choice.name == "embedded":
        return Engine(choice.name, choice.reason, embedded.features_as_of)
    if not find_spec("pyspark"):
        raise DependencyError(
            "offline_store.engine is 'spark', but pyspark is not installed. Install `larder[spark]`, or set the engine "
            "to 'embedded' or 'auto' in feature_store.yaml."
        )
    session = partial(_session, config.repo_path)
    return Engine(choice.name, choice.reason, partial(spark.features_as_of, session=session))


def choice_of(config: Any, size: Callable[[], int]) -> Choice:
    """What `config`, a DeltaOfflineStoreConfig, says; with `auto` by `size`, the bytes of history that may be read,
    asked for only then.
    """
    if config.engine != "auto":
        return Choice(config.engine, "offline_store.engine says so")
    gigabytes = size() / GIGABYTE
    compared = f"{gigabytes:.1f} GB of history, and Spark begins at {config.spark_from_gigabytes:g} GB"
    if gigabytes < config.spark_from_gigabytes:
        return Choice("embedded", compared)
    return (
        Choice("spark", compared)
        if find_spec("pyspark")
        else Choice("embedded", f"{compared}, but pyspark is not installed")
    )


def _session(near: Path | None) -> "SparkSession":
    from larder.contracts.settings import load_settings
    from larder.spark.session import spark_session

    return spark_session(load_settings(near=near), app_name="larder-offline")
