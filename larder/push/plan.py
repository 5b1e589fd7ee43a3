"""What a push has to read, and whether values may have to move backwards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote

from larder.offline.conditions import Between
from larder.offline.history import History
from larder.offline.join.shares import file_sizes
from larder.online.position import Position
from larder.push.changes import Changes, changes_since


@dataclass(frozen=True)
class PushPlan:
    """From the position that Redis has reached to the one that it shall reach."""

    files: dict[str, int] | None
    """Bytes by path of the files to read; None: all rows, by an engine, for files do not say it all."""
    why_full: str = ""
    """Why the whole history is read; empty when only what is new is."""
    is_correcting: bool = False
    """Whether Redis may hold values that the history has no longer."""


@dataclass(frozen=True)
class Pushed:
    """What one push did."""

    written: int = 0
    """Entities written, those included whose value was there already."""
    removed: int = 0
    """Entities deleted because the history has them no longer."""
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """Rows newly set aside, by reason."""


def push_plan(history: History, reached: Position | None, target: Position) -> PushPlan:
    """`history` is pinned at the version of `target`, whose instant is not before that of `reached`."""
    if reached is None:
        return PushPlan(file_sizes(history), "nothing of it was online")
    if history.version is None:
        return PushPlan(file_sizes(history), "files have no versions")
    if not reached.fingerprint:
        return PushPlan(file_sizes(history), "the position online says nothing about the schema")
    loss = _difference(reached, target)
    changes = Changes(loss=loss) if loss else changes_since(history, reached.version)
    if changes.loss:
        return PushPlan(file_sizes(history), changes.loss, is_correcting=True)
    return PushPlan(_new_files(history, changes, reached.instant, target.instant))


def correcting_plan(history: History, why: str) -> PushPlan:
    """Everything, whatever Redis has reached."""
    return PushPlan(file_sizes(history), why, is_correcting=True)


def _difference(reached: Position, target: Position) -> str:
    if reached.fingerprint != target.fingerprint:
        return "the view's fields changed"
    if reached.table != target.table:
        return f"the view read {reached.table} before"
    if reached.table_id != target.table_id:
        return "the table was made anew"
    if reached.version > target.version:
        return f"online was version {reached.version}, a later one"
    return ""


def _new_files(history: History, changes: Changes, since: datetime, until: datetime) -> dict[str, int] | None:
    """Files that may hold a row which came, or whose instant came, since the position."""
    sizes = file_sizes(history)
    if sizes is None:
        return None
    added = {unquote(path) for path in changes.added}
    if not added <= sizes.keys():  # some were compacted into others since
        added |= {unquote(path) for path in changes.rewritten}
    found = {path: size for path, size in sizes.items() if path in added}
    if until > since:
        for column in history.times if history.cutoff else (history.event_timestamp,):
            found |= file_sizes(history, [Between(history.column(column), since, until)]) or {}
    return found
