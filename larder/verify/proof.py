"""Reading both sides of the proof: Redis as it stands, and the as-of join that training uses."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from larder.contracts.errors import ConfigurationError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import History, history_of
from larder.offline.join.as_of import as_of_join
from larder.offline.reading import read_history
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.integrity import check_content
from larder.online.contents import count_entities, read_view
from larder.online.planning import view_plan
from larder.verify.compare import ViewComparison, compared_view

if TYPE_CHECKING:
    import redis
    from feast import FeatureStore, FeatureView

AT = "@instant"


def compared_store(store: "FeatureStore", client: "redis.Redis", *, instant: datetime) -> Iterator[ViewComparison]:
    """One comparison per online view of the registry, all entities that its history names, at `instant` (UTC).

    Raises InvalidDataError when the content of a view's table does not fit its checksums: it would prove nothing.
    """
    views = [*store.list_stream_feature_views(), *store.list_feature_views()]
    online = sorted((view for view in views if view.online), key=lambda view: view.name)
    if not online:
        raise ConfigurationError("The registry holds no online feature view. Run `larder features` first.")
    for view in online:
        history = history_of(view, store.config)
        if history.format == "delta":
            check_content(open_table(history.table, history.version, options=history.storage_options))
        yield compared_online_view(view, history, client, store.project, instant=instant)


def compared_online_view(
    view: "FeatureView", history: History, client: "redis.Redis", project: str, *, instant: datetime
) -> ViewComparison:
    """The view's values in Redis against the as-of values of its history, for every entity of the history."""
    plan = view_plan(view)
    rows = read_history(history)
    keys = pl.DataFrame(rows.select(list(history.keys))).drop_nulls().unique(maintain_order=True)
    online = pl.DataFrame(read_view(client, plan, project, keys.to_arrow())).drop_nulls(EVENT_TIMESTAMP)
    comparison = compared_view(
        view.name,
        online,
        _offline(keys, rows, history, instant),
        keys=history.keys,
        features=[feature.name for feature in plan.features],
        instant=instant,
        ttl=None if plan.ttl_seconds is None else timedelta(seconds=plan.ttl_seconds),
    )
    return replace(comparison, strays=count_entities(client, project, view.name) - online.height)


def _offline(keys: pl.DataFrame, rows: pa.Table, history: History, instant: datetime) -> pl.DataFrame:
    """The as-of values of all keys, with the stamps of the rows they came from as further features."""
    known_at = history.known_at or history.event_timestamp
    stamped = rows.append_column(KNOWN_AT, rows[known_at]) if KNOWN_AT not in rows.column_names else rows
    if EVENT_TIMESTAMP not in stamped.column_names:
        stamped = stamped.append_column(EVENT_TIMESTAMP, stamped[history.event_timestamp])
    requests = keys.with_columns(pl.lit(instant).dt.cast_time_unit("us").alias(AT)).to_arrow()
    with_stamps = replace(history, features=(*history.features, EVENT_TIMESTAMP, KNOWN_AT))
    return keys.hstack(pl.DataFrame(as_of_join(requests, stamped, with_stamps, at=AT)))
