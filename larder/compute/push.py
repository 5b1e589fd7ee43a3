"""From a feature view to the push of its history: what Feast's configuration says, put in our own words."""

from datetime import datetime
from functools import partial

from feast import FeatureView
from feast.repo_config import RepoConfig

from larder.contracts.clock import system_clock
from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.offline.history import history_of
from larder.offline.lake import lake_root
from larder.online.planning import view_plan
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.store import RedisOnlineStoreConfig, configured_address
from larder.push.embedded import push_here
from larder.push.run import PushReport, push_history
from larder.push.write import Online


def push_latest(view: FeatureView, config: RepoConfig, settings: Settings, *, instant: datetime) -> PushReport:
    """Bring Redis to what serving knew of the view at `instant` (UTC); see `push_history`."""
    if not isinstance(config.online_store, RedisOnlineStoreConfig):
        raise ConfigurationError(
            f"The online store is {config.online_store.type}, but larder.compute.SparkFeatureEngine writes to "
            "larder.online.RedisOnlineStore. Set it as online_store.type in feature_store.yaml."
        )
    # The real present, also in a replay: what lies after a replay's instant is late, not wrong.
    now = system_clock()
    quarantine = Lake(lake_root(config)).quarantine(f"{view.name}_online")
    client = connect(configured_address(config.online_store, settings), timeout_seconds=BULK_TIMEOUT_SECONDS)
    try:
        online = Online(client, config.project, view_plan(view))
        engine = partial(push_here, now=now, quarantine=quarantine)
        return push_history(online, history_of(view, config), engine, instant=instant, now=now)
    finally:
        client.close()
