"""The lake of a replay: what was stored at every instant, made in as few runs as the incidents allow.

Between two irregular arrivals everything is on time, and an as-of reader cannot see the future. So a whole stretch
is ingested and its windows computed at once, as a backfill, and the stretch is read at the versions of that moment.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl
from feast import FeatureStore, StreamFeatureView

from larder.compute.declaration import window_definition
from larder.compute.view import refresh_view
from larder.contracts.errors import InvalidDataError
from larder.contracts.ingestion import Ingestion
from larder.contracts.objective import Objective
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP, Lake
from larder.offline.history import events_of, history_of
from larder.offline.tables.delta_table import open_table
from larder.spark.session import spark_session
from larder.versions.pins import name_of
from larder.views import stored_views
from larder.whole_file import write_whole
from pipelines.ingest import ingest, place
from pipelines.raw import raw_paths
from replay.deliveries import (
    ARRIVES_AT,
    OUT_OF_TURN,
    Deliveries,
    WindowTime,
    deliveries,
    latest,
    shuffled,
    with_incidents,
    write_file,
)
from replay.incidents import Incident, of_kind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STRETCHES = "stretches.json"
STEP = timedelta(days=1)
"""Between two runs of the schedule."""


@dataclass(frozen=True)
class Stretch:
    """A time in which nothing irregular arrives, and the table versions that were current in it."""

    start: datetime | None
    """None: from the beginning."""
    end: datetime
    versions: dict[str, int]
    """Table (relative to the lake) -> Delta version. Gold, whose rows say since when they are known, and labels are as
    the run at `end` leaves them; other tables as they were until then, for a corrected row replaces the one before."""


def source_lake(settings: Settings, ingestion: Ingestion) -> None:
    """Ingest everything that there is, once, whenever it arrived; `settings` are those of the source lake."""
    paths = raw_paths(settings.raw, ingestion.raw)
    if not any(paths.values()):
        raise InvalidDataError(f"No raw file in {settings.raw} to replay. Put files there, or run `larder ingest`.")
    ingest(ingestion, paths, settings, lambda: spark_session(settings))


def prepared_lake(
    store: FeatureStore,
    settings: Settings,
    ingestion: Ingestion,
    objective: Objective,
    source: Lake,
    incidents: Sequence[Incident],
    *,
    begin: datetime,
    until: datetime,
    report: Callable[[str], None],
) -> list[Stretch]:
    """Fill the lake of `settings` and `store` up to `until`, for a schedule that runs each STEP after `begin`.

    Interrupted, it is to be deleted and made again. What arrived out of turn before `begin` is taken as a first run
    takes it, as if it had been on time; after that it is known from the next run of the schedule on.
    """
    spark = spark_session(settings)
    arrived = deliveries(spark, ingestion, source, window_times(store, ingestion, Lake(settings.lake)))
    files = _Files(settings, ingestion, arrived, incidents)
    stretches: list[Stretch] = []
    start: datetime | None = None
    for end in boundaries(incidents, until, runs_with_news(arrived.values(), begin, until)):
        report(f"what arrives until {end:%d %b %H:%M}")
        files.deliver({name: rows_on_time(item, start, end, incidents) for name, item in arrived.items()}, at=end)
        _flip_labels(spark, settings, ingestion, objective, incidents, start, end)
        _refresh_views(store, spark, until=end, is_live=False)
        before = _view_versions(settings, store)
        news = {name: rows_out_of_turn(item, start, end, incidents) for name, item in arrived.items()}
        if files.deliver(news, at=end):
            _refresh_views(store, spark, until=end, is_live=True)
        stretches.append(
            Stretch(start, end, before | _gold_versions(settings, store) | _label_versions(settings, ingestion))
        )
        late = {name: late_rows(item, end, incidents) for name, item in arrived.items()}
        if files.deliver(late, at=end):
            _refresh_views(store, spark, until=end, is_live=True)
        start = end
    write_whole(settings.state / STRETCHES, msgspec.json.encode(stretches))
    return stretches


def stored_stretches(state: Path) -> list[Stretch] | None:
    """The stretches of a lake that was prepared to its end; None when there is none."""
    path = state / STRETCHES
    return msgspec.json.decode(path.read_bytes(), type=list[Stretch]) if path.is_file() else None


def boundaries(incidents: Sequence[Incident], until: datetime, runs: Sequence[datetime] = ()) -> list[datetime]:
    """Instants at which something arrives out of turn, and the end; so arrives what a run of `runs` finds."""
    irregular = {item.end for item in of_kind(incidents, "feed_stops", "repeated_files")}
    # Labels of a stretch are as its last run finds them: a run with news has its stretch to itself.
    irregular |= {instant for run in runs for instant in (run - STEP, run)}
    return [*sorted(instant for instant in irregular if instant < until), until]


def runs_with_news(arrived: Iterable[Deliveries], begin: datetime, until: datetime) -> list[datetime]:
    """Runs of the schedule that find rows which arrived out of turn since the run before."""
    found: set[datetime] = set()
    for item in arrived:
        rows = item.between(begin, until).filter(pl.col(OUT_OF_TURN))
        found |= {begin - (begin - at) // STEP * STEP for at in rows[ARRIVES_AT]}
    return sorted(found)


def window_times(store: FeatureStore, ingestion: Ingestion, lake: Lake) -> dict[str, list[WindowTime]]:
    """By raw table, when the windows of the views over its silver tables take a row in."""
    sources = {place(table, lake): table.source for table in ingestion.silver}
    found: dict[str, list[WindowTime]] = {}
    for view in _windowed_views(store):
        events = events_of(view, store.config)
        if events.table in sources:
            slide = timedelta(microseconds=window_definition(view).slide)
            found.setdefault(sources[events.table], []).append(WindowTime(events.event_timestamp, slide))
    return found


class _Files:
    """Writes deliveries as raw files and ingests them, each call one run of the pipelines."""

    def __init__(
        self,
        settings: Settings,
        ingestion: Ingestion,
        arrived: dict[str, Deliveries],
        incidents: Sequence[Incident],
    ) -> None:
        self._settings, self._ingestion, self._arrived, self._incidents = settings, ingestion, arrived, incidents
        self._number = 0

    def deliver(self, rows: dict[str, pl.DataFrame], *, at: datetime) -> bool:
        """Whether there was anything to deliver; the run's clock stands at `at`."""
        self._number += 1
        paths: dict[str, list[Path]] = {}
        for name, item in self._arrived.items():
            changed = with_incidents(rows[name], name, self._incidents)
            path = write_file(latest(changed), item.table, self._settings.raw, self._number)
            paths[name] = [] if path is None else [path]
        if not any(paths.values()):
            return False
        settings = replace(self._settings, replay_at=at)
        ingest(self._ingestion, paths, settings, lambda: spark_session(settings))
        return True


def rows_on_time(
    item: Deliveries, start: datetime | None, end: datetime, incidents: Sequence[Incident]
) -> pl.DataFrame:
    """Without `start` also those out of turn: a first run takes all that there is as if it had been on time."""
    rows = _delivered(item, start, end, incidents)
    return rows if start is None else rows.filter(~pl.col(OUT_OF_TURN))


def rows_out_of_turn(
    item: Deliveries, start: datetime | None, end: datetime, incidents: Sequence[Incident]
) -> pl.DataFrame:
    """Corrections and late rows that the run at `end` finds."""
    rows = _delivered(item, start, end, incidents)
    return rows.clear() if start is None else rows.filter(pl.col(OUT_OF_TURN))


def _delivered(item: Deliveries, start: datetime | None, end: datetime, incidents: Sequence[Incident]) -> pl.DataFrame:
    """All that arrive in (start, end], but for rows of a feed that is stopped."""
    rows, at = item.between(start, end), pl.col(ARRIVES_AT)
    for stop in of_kind(incidents, "feed_stops"):
        if stop.table == item.table.name:
            rows = rows.filter(~at.is_between(stop.start, stop.end, closed="left").fill_null(False))
    return rows


def late_rows(item: Deliveries, end: datetime, incidents: Sequence[Incident]) -> pl.DataFrame:
    """What arrives at `end` out of turn: rows of a feed that was stopped, or files once more and shuffled."""
    rows = item.rows.clear()
    for incident in of_kind(incidents, "feed_stops", "repeated_files"):
        if incident.end == end and incident.table == item.table.name:
            again = latest(item.rows.filter(pl.col(ARRIVES_AT).is_between(incident.start, incident.end, closed="left")))
            rows.extend(shuffled(again, seed=incident.seed) if incident.kind == "repeated_files" else again)
    return rows


def _refresh_views(store: FeatureStore, spark: "SparkSession", *, until: datetime, is_live: bool) -> None:
    for view in _windowed_views(store):
        refresh_view(view, store.config, lambda: spark, until=until, is_live=is_live)


def _windowed_views(store: FeatureStore) -> list[StreamFeatureView]:
    views = store.list_stream_feature_views()
    return [view for view in views if isinstance(view, StreamFeatureView) and view.aggregations]


def _flip_labels(
    spark: "SparkSession",
    settings: Settings,
    ingestion: Ingestion,
    objective: Objective,
    incidents: Sequence[Incident],
    start: datetime | None,
    end: datetime,
) -> None:
    """Turn a share of the labels of the stretch into their opposite, the same ones on every run."""
    table, column = Lake(settings.lake).labels(objective.label.table), objective.label.column
    [key] = [", ".join(item.key) for item in ingestion.labels if item.name == objective.label.table]
    for incident in of_kind(incidents, "flipped_labels"):
        first = max(incident.start, start) if start is not None else incident.start
        last = min(incident.end, end)
        if first >= last:
            continue
        spark.sql(
            f"UPDATE delta.`{table}` SET {column} = NOT {column} "
            f"WHERE {EVENT_TIMESTAMP} >= timestamp'{first.isoformat()}' "
            f"AND {EVENT_TIMESTAMP} < timestamp'{last.isoformat()}' "
            f"AND pmod(xxhash64({key}, {incident.seed}), 1000000) < {int(incident.share * 1_000_000)}"
        )


def _view_versions(settings: Settings, store: FeatureStore) -> dict[str, int]:
    places = {of(view, store.config).table for view in stored_views(store) for of in (history_of, events_of)}
    return _versions(settings, places)


def _gold_versions(settings: Settings, store: FeatureStore) -> dict[str, int]:
    return _versions(settings, {history_of(view, store.config).table for view in _windowed_views(store)})


def _label_versions(settings: Settings, ingestion: Ingestion) -> dict[str, int]:
    lake = Lake(settings.lake)
    return _versions(settings, {lake.labels(table.name) for table in ingestion.labels})


def _versions(settings: Settings, places: Iterable[str]) -> dict[str, int]:
    return {name_of(place, settings.lake): open_table(place).version() for place in sorted(places)}
