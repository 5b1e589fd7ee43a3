"""From a feature view to the push of its history: what Feast's configuration says, put in our own words."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from feast import FeatureView
from feast.repo_config import RepoConfig

from larder.contracts.clock import system_clock
from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.offline.history import History, history_of
from larder.offline.join.engines import choice_of
from larder.offline.join.shares import stored_bytes
from larder.offline.lake import lake_root
from larder.offline.store import DeltaOfflineStoreConfig
from larder.offline.tables.opening import open_history
from larder.online.planning import stored_plan
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.server.health import require_fit_redis
from larder.online.store import RedisOnlineStoreConfig, configured_address
from larder.push.embedded import push_here
from larder.push.plan import Pushed, PushPlan
from larder.push.run import PushReport, push_history
from larder.push.spark import push_on_spark
from larder.push.write import Online

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def push_latest(view: FeatureView, config: RepoConfig, settings: Settings, *, instant: datetime) -> PushReport:
    """Bring Redis to what serving knew of the view at `instant` (UTC); see `push_history`."""
    if not isinstance(config.online_store, RedisOnlineStoreConfig):
        raise ConfigurationError(
            f"The online store is {config.online_store.type}, but larder.compute.SparkFeatureEngine writes to "
            "larder.online.RedisOnlineStore. Set it as online_store.type in feature_store.yaml."
        )
    if config.online_store.layout != "larder":
        raise ConfigurationError(
            f"online_store.layout is {config.online_store.layout!r}, which Feast's own engine fills: set "
            "batch_engine.type to local in feature_store.yaml, or move to layout larder with `larder migrate-online`."
        )
    history = history_of(view, config)
    open_history(history)  # a table that is not there is said before a Redis that is not
    address = configured_address(config.online_store, settings)
    client = connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS)
    # The real present, also in a replay: what lies after a replay's instant is late, not wrong.
    now = system_clock()
    quarantine = Lake(lake_root(config)).quarantine(f"{view.name}_online")
    here = partial(push_here, now=now, quarantine=quarantine)
    session = partial(_session, settings)
    on_spark = partial(push_on_spark, now=now, quarantine=quarantine, address=address, session=session)

    def by_size(online: Online, history: History, plan: PushPlan, instant: datetime) -> Pushed:
        engine = on_spark if _is_for_spark(config.offline_store, history, plan) else here
        return engine(online, history, plan, instant)

    try:
        require_fit_redis(client)
        online = Online(client, config.project, stored_plan(view, config))
        return push_history(online, history, by_size, instant=instant, now=now)
    finally:
        client.close()


def _is_for_spark(config: Any, history: History, plan: PushPlan) -> bool:
    """By the rule of retrievals, with `auto` by the bytes that this push reads."""
    if plan.size == 0 or not isinstance(config, DeltaOfflineStoreConfig):
        return False
    return choice_of(config, lambda: stored_bytes(history) if plan.size is None else plan.size).name == "spark"


def _session(settings: Settings) -> "SparkSession":
    from larder.spark.session import spark_session

    return spark_session(settings, app_name="larder-features")
