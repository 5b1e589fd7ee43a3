"""What a push has to read, and whether values may have to move backwards."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from larder.offline.history import History
from larder.offline.join.shares import file_sizes
from larder.offline.retrieval.conditions import Between
from larder.online.position import Position
from larder.push.changes import Changes, Files, changes_since


@dataclass(frozen=True)
class PushPlan:
    """From the position that Redis has reached to the one that it shall reach."""

    files: Files | None
    """Those with the rows to write; None: all rows, by an engine, for files do not say it all."""
    why_full: str = ""
    """Why the whole history is read; empty when only what changed is."""
    is_correcting: bool = False
    """Whether Redis may hold values that the history has no longer, nobody knows which."""
    removed: Mapping[int, Files] = field(default_factory=dict)
    """Files of values that Redis may hold and the history perhaps no longer, by a version that has them."""
    loss: str = ""
    """What took those values away."""

    @property
    def note(self) -> str:
        return f"whole history read because {self.why_full}" if self.why_full else self.loss

    @property
    def size(self) -> int | None:
        """Bytes to be read, but for older rows of entities that lost their latest; None where files do not say it."""
        if self.files is None:
            return None
        return sum(self.files.values()) + sum(sum(files.values()) for files in self.removed.values())


@dataclass(frozen=True)
class Pushed:
    """What one push did."""

    written: int = 0
    """Entities written, those included whose value was there already or moved back."""
    removed: int = 0
    """Entities deleted because the history has them no longer."""
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """Rows newly set aside, by reason."""

    def __add__(self, other: "Pushed") -> "Pushed":
        quarantined = Counter(self.quarantined) + Counter(other.quarantined)
        return Pushed(self.written + other.written, self.removed + other.removed, dict(quarantined))


def push_plan(history: History, reached: Position | None, target: Position) -> PushPlan:
    """`history` is pinned at the version of `target`, whose instant is not before that of `reached`."""
    if reached is None:
        return PushPlan(file_sizes(history), "nothing of it was online")
    if not reached.fingerprint:
        return PushPlan(file_sizes(history), "the position online says nothing about the schema")
    if difference := _difference(reached, target):
        return correcting_plan(history, difference)
    if history.version is None:
        return PushPlan(file_sizes(history), "files have no versions")
    changes = changes_since(history, reached.version)
    if changes.unknown:
        return correcting_plan(history, changes.unknown)
    files = _new_files(history, changes, reached.instant, target.instant)
    if files is None and changes.loss:
        return correcting_plan(history, changes.loss)
    return PushPlan(files, removed=changes.removed, loss=changes.loss)


def correcting_plan(history: History, why: str) -> PushPlan:
    """Everything, whatever Redis has reached."""
    return PushPlan(file_sizes(history), why, is_correcting=True)


def _difference(reached: Position, target: Position) -> str:
    if reached.fingerprint != target.fingerprint:
        return "the view's fields changed"
    if reached.columns and reached.columns != target.columns:
        return "the columns behind the view's fields or times changed"
    if reached.table != target.table:
        return f"the view read {reached.table} before"
    if reached.table_id != target.table_id:
        return "the table was made anew"
    if reached.version > target.version:
        return f"online was version {reached.version}, a later one"
    return ""


def _new_files(history: History, changes: Changes, since: datetime, until: datetime) -> Files | None:
    """Files that may hold a row which came, or whose instant came, since the position."""
    sizes = file_sizes(history)
    if sizes is None:
        return None
    added = changes.added
    if not added <= sizes.keys():  # some were compacted into others since
        added |= changes.rewritten
    found = {path: size for path, size in sizes.items() if path in added}
    if until > since:
        for column in history.times if history.cutoff else (history.event_timestamp,):
            found |= file_sizes(history, [Between(history.column(column), since, until)]) or {}
    return found
