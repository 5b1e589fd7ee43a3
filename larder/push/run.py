"""One push: Redis brought from the position that it has reached to the newest version of a history."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from larder.contracts.errors import OnlineStoreError
from larder.offline.history import History
from larder.offline.reading import pinned
from larder.offline.tables.delta_table import open_table
from larder.online.position import Position, decoded_position, move_position, stored_position
from larder.online.writer import FUTURE_TOLERANCE
from larder.push.plan import Pushed, PushPlan, correcting_plan, push_plan
from larder.push.write import Online

ATTEMPTS = 5
"""Each that fails means that another process has pushed the same view meanwhile."""


@dataclass(frozen=True)
class PushReport(Pushed):
    note: str = ""
    """What a reader of the log should know beyond that."""


Engine = Callable[[Online, History, PushPlan, datetime], Pushed]
"""Reads and writes what a plan says, as serving knew it at an instant."""


def push_history(online: Online, history: History, engine: Engine, *, instant: datetime, now: datetime) -> PushReport:
    """Bring Redis to what serving knew at `instant` (UTC), late corrections and deleted rows included.

    Follows the table's version, not event times. An instant before the one that Redis holds moves nothing back, and
    one after `now`, the present, counts as `now`. The position is written last, so that after an interruption at
    any instant the next push ends right. Two pushes at once are safe: the one that ends second finds the position
    moved and makes everything what the history says. Raises what reading and writing raise.
    """
    why = ""
    for _ in range(ATTEMPTS):
        seen = stored_position(online.client, online.project, online.plan.name)
        # Pinned after the position is read: so a version before the position's means that the table went back.
        current = pinned(history)
        reached, notes = decoded_position(seen, online.plan.name), []
        if reached is not None and reached.instant > now + FUTURE_TOLERANCE:
            why = f"the position online lay in the future, at {reached.instant:%Y-%m-%d %H:%M:%S}Z"
            reached = None
        target = _target(online, current, reached, min(instant, now + FUTURE_TOLERANCE))
        if target.instant > instant:
            notes.append(f"online already holds {target.instant:%Y-%m-%d %H:%M:%S}Z")
        elif target.instant < instant:
            notes.append(f"nothing is pushed beyond the present, {target.instant:%Y-%m-%d %H:%M:%S}Z")
        if not why and target == reached and current.version is not None:
            return PushReport(note=", ".join(notes))
        plan = correcting_plan(current, why) if why else push_plan(current, reached, target)
        pushed = engine(online, current, plan, target.instant)
        if plan.why_full:
            notes.append(f"whole history read because {plan.why_full}")
        if move_position(online.client, online.project, online.plan.name, seen=seen, to=target):
            return PushReport(pushed.written, pushed.removed, pushed.quarantined, ", ".join(notes))
        why = "another process pushed at the same time"
    raise OnlineStoreError(
        f"Other processes pushed view {online.plan.name!r} {ATTEMPTS} times while this one tried. Materialize it "
        "in one process at a time."
    )


def _target(online: Online, history: History, reached: Position | None, instant: datetime) -> Position:
    table_id = ""
    if history.version is not None:
        table_id = str(open_table(history.table, history.version, options=history.storage_options).metadata().id)
    return Position(
        history.table,
        history.version or 0,
        max(instant, reached.instant) if reached else instant,
        table_id,
        online.plan.fingerprint.hex(),
    )
