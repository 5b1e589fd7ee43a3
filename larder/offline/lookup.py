"""What a retrieval asks of its feature views, worked out once before any engine runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, Field
from feast.repo_config import RepoConfig

from larder.contracts.errors import ConfigurationError, MissingColumnsError
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.offline.as_of import INSTANT
from larder.offline.delta import as_utc, pinned, read_history
from larder.offline.history import History, history_of

REQUESTED_AT = "@requested_at"


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
    """A request row per key and event timestamp of any view in the range; all views must share their keys."""
    keys = {lookup.request_keys for lookup in lookups}
    if start is None or end is None or len(keys) != 1:
        raise ConfigurationError(
            f"Retrieval without entity rows needs start_date, end_date and views that share their join keys; it has "
            f"{start}, {end} and {sorted(keys)}. Pass an entity_df instead."
        )
    changes = [_changes(lookup, start, end) for lookup in lookups]
    return pa.concat_tables(changes).group_by([*keys.pop(), EVENT_TIMESTAMP], use_threads=False).aggregate([])


def _changes(lookup: Lookup, start: datetime, end: datetime) -> pa.Table:
    history = lookup.history
    rows = read_history(history, columns=[], until=as_utc(end)).select([*history.keys, history.event_timestamp])
    rows = rows.rename_columns([*lookup.request_keys, EVENT_TIMESTAMP])
    return rows.filter(pc.greater_equal(rows[EVENT_TIMESTAMP], pa.scalar(as_utc(start), INSTANT)))


def _lookup_of(view: FeatureView, references: Sequence[str], config: RepoConfig, *, cutoff: bool) -> Lookup:
    history = pinned(history_of(view, config))
    if cutoff and history.known_at:
        history = replace(history, cutoff=True)
    name, key_map = view.projection.name_to_use(), view.projection.join_key_map
    fields = {f"{name}:{field.name}": field for field in view.features}
    return Lookup(
        view=name,
        history=history,
        request_keys=tuple(key_map.get(key, key) for key in history.keys),
        fields=tuple(fields[reference] for reference in dict.fromkeys(references) if reference in fields),
    )
