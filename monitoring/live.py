"""What the monitors need from a running system: how far views have come, features recomputed, the server's metrics."""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.bundle import bundle_plan, champion_bundle, read_files, read_manifest
from larder.contracts.errors import LarderError
from larder.contracts.monitoring import Finding, Monitoring
from larder.contracts.objective import Objective
from larder.contracts.settings import Settings
from monitoring.monitors.freshness import ViewState
from monitoring.monitors.service import service
from monitoring.monitors.window import Window
from monitoring.run import isolated, run_monitors

if TYPE_CHECKING:
    from larder.offline.history import History

SECONDS_TO_ANSWER = 3.0
_RECENT = timedelta(days=8)


def live_findings(
    settings: Settings, objective: Objective, limits: Monitoring, *, model: str, now: datetime
) -> list[Finding]:
    """What all monitors find about the running system at `now`; nothing is written."""
    window = Window.before(now, limits.window, run_at=now)
    server = isolated(window, "service", model, lambda: service(window, model, server_metrics(settings), limits))

    def recompute(requests: pa.Table) -> pa.Table:
        return recomputed(settings, requests, model=model)

    found = run_monitors(
        settings,
        objective,
        limits,
        model=model,
        now=now,
        views=lambda: view_states(settings, now),
        recompute=recompute,
    )
    return [*found, *server]


def view_states(settings: Settings, now: datetime) -> list[ViewState]:
    """Of all online views of the registry. Raises OnlineStoreError when Redis does not answer."""
    from larder.offline.history import events_of
    from larder.online.position import read_position
    from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
    from larder.online.store import packed_address
    from larder.registry import feature_store
    from larder.views import stored_views

    store = feature_store(settings)
    address = packed_address(store.config.online_store, settings)
    with closing(connect(address, timeout_seconds=BULK_TIMEOUT_SECONDS)) as client:
        views = [view for view in stored_views(store) if view.online]
        positions = [read_position(client, store.project, view.name) for view in views]
    return [
        view_state(
            view.name,
            partial(events_of, view, store.config),
            now,
            online_until=None if position is None else position.instant,
        )
        for view, position in zip(views, positions, strict=True)
    ]


def view_state(
    view: str, events: "Callable[[], History]", now: datetime, *, online_until: datetime | None
) -> ViewState:
    """A source that cannot be read hides nothing of the other views, and not how far this one is online."""
    try:
        return ViewState(view, newest_event(events(), now), online_until)
    except LarderError as problem:
        return ViewState(view, None, online_until, unread=str(problem))


def newest_event(events: "History", now: datetime) -> datetime | None:
    """The newest event timestamp that was known at `now`; None where there is no event."""
    return _newest_event(events, since=now - _RECENT, now=now) or _newest_event(events, since=None, now=now)


def recomputed(settings: Settings, requests: pa.Table, *, model: str) -> pa.Table:
    """The champion's features for `requests`, each as of its `event_timestamp`, from the offline store."""
    from larder.registry import feature_store

    bundle = champion_bundle(settings.bundles, model)
    plan = bundle_plan(read_files(bundle, read_manifest(bundle)))
    store = feature_store(settings)
    job = store.get_historical_features(entity_df=requests, features=store.get_feature_service(plan.service))
    return job.to_arrow()


def server_metrics(settings: Settings) -> str | None:
    """What the server's `/metrics` says; None when it does not answer."""
    connection = HTTPConnection(settings.host, settings.port, timeout=SECONDS_TO_ANSWER)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _newest_event(events: "History", *, since: datetime | None, now: datetime) -> datetime | None:
    from larder.offline.retrieval.conditions import Between, time_range
    from larder.offline.retrieval.reading import StoredRows

    where = [time_range(events, since=since, until=now)]
    if events.cutoff and events.known_at is not None:
        where.append(Between(events.column(events.known_at), None, now))
    newest = [
        pc.max(batch[events.event_timestamp]).as_py()
        for batch in StoredRows(events, ()).batches(where)
        if batch.num_rows
    ]
    return max(newest, default=None)
