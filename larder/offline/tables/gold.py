"""How far a gold table has come, as its own commits tell; read without Spark."""

import uuid
from datetime import datetime

import msgspec
from deltalake import DeltaTable

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingTableError
from larder.offline.history import Windows
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.integrity import place

_RECENT = 20
"""Commits that are looked at first, since each costs reading a file."""

_MAINTENANCE = ("OPTIMIZE", "VACUUM START", "VACUUM END")
"""Operations that change no row."""

COMPACTION = "larder: small files of gold were put together"
"""Metadata of a commit that only moves rows."""


class GoldPosition(msgspec.Struct, frozen=True):
    """What one refresh leaves in the metadata of its commit."""

    source: str
    """Table of the events."""
    source_version: int
    """Its Delta version, which gold reflects completely."""
    instant: datetime
    """Gold holds all rows up to here, UTC."""
    fingerprint: str
    """Of the windows' definition."""
    refresh: int
    """Counts the refreshes of this table from 1."""
    source_id: str = ""
    """Delta's id of the source, by which a table that was made anew is another one; empty in older tables."""
    project: str = ""
    """The one that built the table; empty in older tables."""
    columns: dict[str, str] | None = None
    """Name in the view -> column of the source that the windows read, where they differ; None in older tables."""
    run: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    """Tells a refresh from another one that was made at the same time."""


def gold_position(table: str) -> GoldPosition | None:
    """The position of the last refresh; None when there is no table yet.

    Raises InvalidDataError when the table was not written by this engine or its log is damaged.
    """
    delta = opened_gold(table)
    return None if delta is None else position_in(delta)


def opened_gold(table: str) -> DeltaTable | None:
    """None when there is no table yet. Raises InvalidDataError when its log is damaged."""
    try:
        return open_table(table)
    except MissingTableError:
        return None


def position_in(delta: DeltaTable) -> GoldPosition:
    """The position of the last refresh. Raises InvalidDataError when the table was not written by this engine."""
    if position := told_position(delta):
        return position
    raise InvalidDataError(
        f"{place(delta)} has no commit that says which events it reflects, so it was not written by `larder features`. "
        "Move it away, or rename the feature view; gold is then built anew."
    )


def told_position(delta: DeltaTable) -> GoldPosition | None:
    """The position that commits tell; None where the table was not written by this engine."""
    # The newest commits nearly always answer; other tools may have added any number of theirs (OPTIMIZE, VACUUM).
    return _latest_position(delta, _RECENT) or _latest_position(delta, None)


def check_windows(delta: DeltaTable, position: GoldPosition | None, declared: Windows) -> None:
    """Raise ConfigurationError when gold, which is at `position`, is not of the `declared` windows, or not ours.

    A project may move its source; the gold of one that shares the lake and has a view of this name follows another.
    """
    if position is None:
        return
    if position.fingerprint != declared.fingerprint or position.columns not in (None, declared.columns):
        raise ConfigurationError(
            f"{place(delta)} was built from other windows, types or columns than its feature view declares now. "
            "Gold is append-only history, so give the changed view a new name; or, if nothing relies on the old "
            "values, delete the table and run `larder features` to rebuild it."
        )
    if position.project not in ("", declared.project) and position.source != declared.source:
        raise ConfigurationError(
            f"{place(delta)} belongs to project {position.project!r}, whose view of this name reads {position.source}; "
            f"that of {declared.project!r} reads {declared.source}. Give one of the two views another name, or each "
            "project a lake of its own (`lake` under `offline_store:`, or LARDER_LAKE)."
        )


def is_untouched(position: GoldPosition, delta: DeltaTable) -> bool:
    """Whether the table holds the rows that the refresh left there: none was deleted, restored or added since."""
    for commit in delta.history(_RECENT):
        if _decoded(commit.get("userMetadata")) == position:
            return True
        if commit.get("userMetadata") != COMPACTION and commit.get("operation") not in _MAINTENANCE:
            return False
    return False


def encoded(position: GoldPosition) -> str:
    return msgspec.json.encode(position).decode()


def _latest_position(delta: DeltaTable, commits: int | None) -> GoldPosition | None:
    """That of the newest of the last so many commits, None meaning all, which tells one."""
    positions = (_decoded(commit.get("userMetadata")) for commit in delta.history(commits))
    return next((position for position in positions if position is not None), None)


def _decoded(metadata: str | None) -> GoldPosition | None:
    try:
        return msgspec.json.decode(metadata or "", type=GoldPosition)
    except msgspec.DecodeError:
        return None
