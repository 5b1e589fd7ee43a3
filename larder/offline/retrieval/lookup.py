"""What a retrieval asks of its feature views, worked out once before any engine runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, Field
from feast.repo_config import RepoConfig

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.history import History, history_of
from larder.offline.retrieval.pins import pinned_for_retrieval
from larder.offline.retrieval.reading import as_utc, read_history
from larder.offline.tables.kinds import INSTANT

REQUESTED_AT = "@requested_at"
_RANGE = timedelta(days=30)


@dataclass(frozen=True)
class Lookup:
    """The part of a retrieval that one feature view answers."""

    view: str
    """Name that references use: `view:feature`."""
    history: History
    """Pinned to the table version that will be read."""
    request_keys: tuple[str, ...]
    """Columns of the request that hold the join keys, in their order."""
    fields: tuple[Field, ...]
    """Features asked for."""


def lookups_of(
    views: Sequence[FeatureView], references: Sequence[str], config: RepoConfig, *, cutoff: bool
) -> list[Lookup]:
    """One lookup per view; `cutoff` makes a created timestamp count as the instant at which a row was known."""
    return [_lookup_of(view, references, config, cutoff=cutoff) for view in views]


def check_request_keys(lookups: Sequence[Lookup], requests: pa.Table) -> None:
    """Raise MissingColumnsError when the request lacks a join key."""
    for lookup in lookups:
        missing = sorted(set(lookup.request_keys) - set(requests.column_names))
        if missing:
            raise MissingColumnsError(
                f"Feature view {lookup.view!r} is asked for by {missing}, but the request has only "
                f"{requests.column_names}. Add the join keys to the request."
            )


def asked_of(lookup: Lookup, requests: pa.Table, *, at: str) -> pa.Table:
    """The request's join keys under the view's names, and its instants as REQUESTED_AT."""
    keys = (requests[key] for key in lookup.request_keys)
    return pa.table([*keys, requests[at]], [*lookup.history.keys, REQUESTED_AT])


def rows_between(lookups: Sequence[Lookup], start: datetime | None, end: datetime | None) -> pa.Table:
    """A request row per key and event timestamp of any view from `start` to `end`, by time and then by key.

    A stored row with a null in a key is nobody's and makes no request. Columns are the keys of all views; those that a
    row's view does not have are null there. Without `start` the range is the longest ttl of the views, else 30 days,
    which is what Feast takes.
    """
    if wrong := [at for at in (start, end) if not isinstance(at, datetime | None)]:
        raise ConfigurationError(
            f"start_date and end_date must be datetimes; {wrong[0]!r} is a {type(wrong[0]).__name__}. Parse it first."
        )
    if end is None:
        raise ConfigurationError(
            "Retrieval without entity rows needs an end_date, and best a start_date too. Give them."
        )
    if start is None:
        start = end - (max(lookup.history.ttl or timedelta(0) for lookup in lookups) or _RANGE)
    if as_utc(start) > as_utc(end):
        raise ConfigurationError(f"start_date {start} is after end_date {end}, so no row can be meant. Exchange them.")
    try:
        changes = pa.concat_tables(
            [_changes(lookup, start, end) for lookup in lookups], promote_options="permissive"
        ).combine_chunks()
    except pa.ArrowTypeError as problem:
        raise InvalidDataError(
            f"Views that share a join key have it in different types: {problem}. Store it in one type, or retrieve "
            "them one by one."
        ) from problem
    names = [EVENT_TIMESTAMP, *(name for name in changes.column_names if name != EVENT_TIMESTAMP)]
    distinct = changes.group_by(names, use_threads=False).aggregate([])
    return distinct.sort_by([(name, "ascending") for name in names]).select([*names[1:], EVENT_TIMESTAMP])


def _changes(lookup: Lookup, start: datetime, end: datetime) -> pa.Table:
    history = lookup.history
    rows = read_history(history, columns=[], until=as_utc(end)).select([*history.keys, history.event_timestamp])
    rows = rows.rename_columns([*lookup.request_keys, EVENT_TIMESTAMP])
    rows = rows.filter(pc.greater_equal(rows[EVENT_TIMESTAMP], pa.scalar(as_utc(start), INSTANT)))
    return rows.drop_null()


def _lookup_of(view: FeatureView, references: Sequence[str], config: RepoConfig, *, cutoff: bool) -> Lookup:
    history = pinned_for_retrieval(history_of(view, config), config)
    if cutoff and history.known_at:
        history = replace(history, cutoff=True)
    name, key_map = view.projection.name_to_use(), view.projection.join_key_map
    fields = {f"{name}:{field.name}": field for field in view.features}
    asked = tuple(fields[reference] for reference in dict.fromkeys(references) if reference in fields)
    # The registry hands a stream view back with its join keys among the features, so a service made of it has them.
    if keys := [field.name for field in asked if field.name in history.keys]:
        raise ConfigurationError(
            f"Feature view {name!r} is asked for {keys}, which are its join keys and come back with the request. "
            f"Ask for its features: {sorted(history.features)}."
        )
    return Lookup(
        view=name,
        history=history,
        request_keys=tuple(key_map.get(key, key) for key in history.keys),
        fields=asked,
    )
