"""The history of one view joined by event time and by known time, and whether it can tell when it was known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, StreamFeatureView
from feast.repo_config import RepoConfig

from larder.compute.declaration import window_definition
from larder.contracts.errors import ConfigurationError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.leakage.known_windows import windows_known_at
from larder.offline.history import History, history_of
from larder.offline.join.as_of import as_of_join
from larder.offline.lake import lake_root
from larder.offline.retrieval.pins import pinned_for_retrieval
from larder.offline.retrieval.reading import read_history
from larder.offline.source import DeltaSource
from larder.offline.tables.columns import columns_by_name
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.gold import GoldPosition, gold_position
from larder.offline.tables.rows import rows_of
from larder.versions.pins import version_to_read

if TYPE_CHECKING:
    from larder.compute.definition import WindowDefinition

AT = "__leakage_at"


@dataclass(frozen=True)
class ViewJoins:
    """The features of a view, one row per request."""

    event_time: pa.Table
    """Every row of the history counts from its event timestamp on."""
    known_time: pa.Table
    """Only what was known at the request's instant; as by event time where nothing tells."""
    unknown: str = ""
    """Why nothing tells when the values became known; empty where something does."""


def view_joins(view: FeatureView, config: RepoConfig, requests: pa.Table, known: Mapping[str, str]) -> ViewJoins:
    """`requests` holds the view's join keys and `AT`. `known` names, by source, the column with the instant from which
    a row could be read, where the source itself names none or another.
    """
    history = pinned_for_retrieval(history_of(view, config), config)
    rows = read_history(history)
    by_event_time = as_of_join(requests, rows, replace(history, cutoff=False), at=AT)
    column = known_column(view, known)
    if column is None:
        if is_windowed(view) and _was_live(requests, rows, history):
            return ViewJoins(by_event_time, as_of_join(requests, rows, history, at=AT))
        return ViewJoins(by_event_time, by_event_time, _no_known_time(view, config))
    if column == _event_timestamp(view):
        # What counts from the instant at which it is known needs no other reading; gold knows of its own delays.
        by_known_time = as_of_join(requests, rows, history, at=AT)
    elif is_windowed(view):
        by_known_time = _windows_from_source(view, config, requests, history, column)
    else:
        told = replace(history, known_at=column, cutoff=True)
        by_known_time = as_of_join(requests, read_history(told), told, at=AT)
    if _holds_nothing(by_known_time) and not _holds_nothing(by_event_time):
        return ViewJoins(
            by_event_time,
            by_event_time,
            f"by {column!r} of source {_source(view).name!r} no row was known at any label: it says when the table was "
            "filled, not when a value became known",
        )
    return ViewJoins(by_event_time, by_known_time)


def is_windowed(view: FeatureView) -> bool:
    return isinstance(view, StreamFeatureView) and bool(view.aggregations)


def known_column(view: FeatureView, known: Mapping[str, str]) -> str | None:
    """The column that says since when a row of the view's source could be read; None where none does."""
    source = _source(view)
    return known.get(source.name) or source.created_timestamp_column or None


def gold_reaches(view: FeatureView, config: RepoConfig) -> datetime | None:
    """The last instant that the view's gold table answers for; None for a view without windows or gold."""
    if not is_windowed(view):
        return None
    position = gold_position(history_of(view, config).table)
    return None if position is None else position.instant


def _source(view: FeatureView) -> DeltaSource:
    source = view.batch_source
    if not isinstance(source, DeltaSource):
        raise ConfigurationError(
            f"Feature view {view.name!r} reads a {type(source).__name__}; leakage is looked for in "
            "larder.offline.DeltaSource. Declare its source as one."
        )
    return source


def _event_timestamp(view: FeatureView) -> str:
    """The column of the source from which on its rows count."""
    own = view.timestamp_field if isinstance(view, StreamFeatureView) else ""
    return str(own or _source(view).timestamp_field)


def _windows_from_source(
    view: FeatureView, config: RepoConfig, requests: pa.Table, gold: History, column: str
) -> pa.Table:
    """The windows over the events that gold reflects, as they were known at each request."""
    definition, source = window_definition(view), _source(view)
    events = _events(source, config, definition, gold_position(gold.table), column)
    found = windows_known_at(requests, read_history(events), definition, at=AT, known_at=column, ttl=gold.ttl)
    return found.select(list(gold.features))


def _events(
    source: DeltaSource, config: RepoConfig, definition: "WindowDefinition", position: GoldPosition | None, column: str
) -> History:
    place = source.table(config)
    pinned = version_to_read(
        place, lake=lake_root(config), version=source.pinned_version(config), near=config.repo_path
    )
    return History(
        place,
        tuple(definition.keys),
        definition.columns,
        definition.timestamp,
        column,
        columns=columns_by_name(source),
        version=position.source_version if pinned is None and position is not None else pinned,
    )


def _was_live(requests: pa.Table, rows: pa.Table, gold: History) -> bool:
    """Whether every gold row that answers a request was written when it came true, none afterwards.

    A backfill writes rows as known at their event timestamp; a live run is always a little later.
    """
    stamps = as_of_join(requests, rows, replace(gold, features=(EVENT_TIMESTAMP, KNOWN_AT)), at=AT)
    return bool(pc.all(pc.greater(stamps[KNOWN_AT], stamps[EVENT_TIMESTAMP])).as_py())


def _no_known_time(view: FeatureView, config: RepoConfig) -> str:
    source = _source(view)
    at = _event_timestamp(view)
    told = f"no known time recorded: source {source.name!r} names no created_timestamp_column"
    later = _later_columns(source, at, config)
    if not later:
        return told
    hints = ", ".join(f"{name} (in {share:.0%} of the rows)" for name, share in later.items())
    return f"{told}; later than {at} lies {hints}"


def _later_columns(source: DeltaSource, at: str, config: RepoConfig) -> dict[str, float]:
    """Instants that mostly lie after the event timestamp `at`: perhaps one tells when a row was known."""
    table = open_table(source.table(config), source.pinned_version(config))
    event_timestamp = columns_by_name(source).get(at, at)
    schema = pa.schema(table.schema().to_arrow())
    instants = [field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.tz is not None]
    rows = rows_of(table, instants)
    is_later = {
        name: pc.fill_null(pc.greater(rows[name], rows[event_timestamp]), False)
        for name in instants
        if name != event_timestamp
    }
    shares = {name: pc.mean(found).as_py() or 0.0 for name, found in is_later.items()}
    return {name: share for name, share in shares.items() if share > 0.5}


def _holds_nothing(rows: pa.Table) -> bool:
    return all(column.null_count == len(column) for column in rows.columns)
