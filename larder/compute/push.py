"""From a view's history to the online store: what serving knew at an instant, for every entity."""

from dataclasses import dataclass
from datetime import datetime

from feast import FeatureView
from feast.repo_config import RepoConfig

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.offline.history import history_of
from larder.offline.join.as_of import latest_at
from larder.offline.reading import pinned, read_history
from larder.online.planning import view_plan
from larder.online.position import Position, read_position, write_position
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.store import RedisOnlineStoreConfig, configured_address
from larder.online.writer import write_records


@dataclass(frozen=True)
class Push:
    """What one push did."""

    written: int
    """Entities written, those included whose value was there already."""
    note: str = ""
    """What a reader of the log should know beyond that."""


def push_latest(view: FeatureView, config: RepoConfig, settings: Settings, *, instant: datetime) -> Push:
    """Write each entity's latest value as serving knew it at `instant` (UTC), late corrections included.

    Follows the table's version, not event times: nothing is read when Redis already holds this version at this
    instant. An instant before the one that Redis holds moves nothing backwards.
    """
    if not isinstance(config.online_store, RedisOnlineStoreConfig):
        raise ConfigurationError(
            f"The online store is {config.online_store.type}, but larder.compute.SparkFeatureEngine writes to "
            "larder.online.RedisOnlineStore. Set it as online_store.type in feature_store.yaml."
        )
    client = connect(configured_address(config.online_store, settings), timeout_seconds=BULK_TIMEOUT_SECONDS)
    try:
        history = pinned(history_of(view, config))
        reached = read_position(client, config.project, view.name)
        target = Position(history.table, history.version or 0, max(instant, reached.instant) if reached else instant)
        note = f"online already holds {target.instant:%Y-%m-%d %H:%M:%S}Z" if target.instant > instant else ""
        if target == reached:
            return Push(0, note)
        rows = latest_at(read_history(history, until=target.instant), history, instant=target.instant)
        counts = write_records(client, view_plan(view), config.project, rows)
        write_position(client, config.project, view.name, target)
        return Push(counts.written, note)
    finally:
        client.close()
