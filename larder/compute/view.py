"""From a view with windows to the refresh of its gold table: what its declaration and Feast's configuration say."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from feast import StreamFeatureView
from feast.repo_config import RepoConfig

from larder.compute.declaration import window_definition
from larder.compute.events import EventSource
from larder.compute.refresh.gold import Refresh, refresh_gold
from larder.contracts.errors import ConfigurationError
from larder.offline.history import history_of
from larder.offline.source import DeltaSource
from larder.offline.tables.columns import columns_by_name

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def refresh_view(
    view: StreamFeatureView,
    config: RepoConfig,
    session: "Callable[[], SparkSession]",
    *,
    until: datetime,
    is_live: bool,
) -> Refresh:
    """Bring the view's gold table up to `until`; see `refresh_gold`, whose errors it raises."""
    gold = history_of(view, config).table
    return refresh_gold(
        session,
        window_definition(view),
        _events(view, config),
        gold,
        until=until,
        is_live=is_live,
        project=config.project,
        spark_from_rows=config.batch_engine.spark_from_rows,
    )


def _events(view: StreamFeatureView, config: RepoConfig) -> EventSource:
    source = view.batch_source
    if not isinstance(source, DeltaSource):
        raise ConfigurationError(
            f"Feature view {view.name!r} takes windows over a {type(source).__name__}; the engine reads "
            "larder.offline.DeltaSource. Declare it as the batch_source of the view's PushSource."
        )
    return EventSource(source.table(config), source.pinned_version(config), columns_by_name(source))
