"""One push: Redis brought from the position that it has reached to the newest version of a history."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from larder.contracts.errors import MissingTableError, OnlineStoreError
from larder.offline.history import History
from larder.offline.retrieval.reading import pinned
from larder.offline.tables.delta_table import open_table
from larder.online.position import Position, decoded_position, move_position, stored_position
from larder.online.writing.writer import FUTURE_TOLERANCE
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
    moved and goes on from what both have reached. Raises what reading and writing raise.
    """
    total, reached, why = Pushed(), None, ""
    for _ in range(ATTEMPTS):
        seen = stored_position(online.client, online.project, online.plan.name)
        # Pinned after the position is read: so a version before the position's means that the table went back.
        current, found = pinned(history), decoded_position(seen, online.plan.name)
        why = why or _doubt(found, reached, now)
        target = _target(online, current, found, instant, latest=now + FUTURE_TOLERANCE)
        begin = found if reached is None else _earlier(found, reached)
        if not why and target == begin and current.version is not None:
            return PushReport(total.written, total.removed, total.quarantined, _shifted(instant, target))
        plan = correcting_plan(current, why) if why else push_plan(current, begin, target)
        try:
            total += engine(online, current, plan, target.instant)
        except MissingTableError:
            if not plan.removed:
                raise
            why = f"{plan.loss} and VACUUM their files"
            continue
        if move_position(online.client, online.project, online.plan.name, seen=seen, to=target):
            notes = filter(None, [_shifted(instant, target), plan.note])
            return PushReport(total.written, total.removed, total.quarantined, ", ".join(notes))
        reached, why = target, ""
    raise OnlineStoreError(
        f"Other processes pushed view {online.plan.name!r} {ATTEMPTS} times while this one tried. Materialize it "
        "in one process at a time."
    )


def _doubt(found: Position | None, reached: Position | None, now: datetime) -> str:
    """Why the position that was found, or that this push has reached, tells nothing; empty when it does."""
    if found is not None and found.instant > now + FUTURE_TOLERANCE:
        return f"the position online lay in the future, at {found.instant:%Y-%m-%d %H:%M:%S}Z"
    if reached is not None and (found is None or _source(found) != _source(reached)):
        return "another process emptied Redis or pushed another table at the same time"
    return ""


def _earlier(found: Position | None, reached: Position) -> Position | None:
    """What two pushes of one table have both brought to Redis, whichever of them wrote last."""
    if found is None:
        return None
    version, instant = min(found.version, reached.version), min(found.instant, reached.instant)
    return msgspec.structs.replace(found, version=version, instant=instant)


def _source(position: Position) -> tuple[str, ...]:
    return position.table, position.table_id, position.fingerprint, position.columns


def _shifted(asked: datetime, target: Position) -> str:
    """Why the push was not to the instant that was asked for; empty when it was."""
    if target.instant > asked:
        return f"online already holds {target.instant:%Y-%m-%d %H:%M:%S}Z"
    if target.instant < asked:
        return f"nothing is pushed beyond the present, {target.instant:%Y-%m-%d %H:%M:%S}Z"
    return ""


def _target(
    online: Online, history: History, found: Position | None, instant: datetime, *, latest: datetime
) -> Position:
    table_id = ""
    if history.version is not None:
        table_id = str(open_table(history.table, history.version, options=history.storage_options).metadata().id)
    if found is not None and found.instant <= latest:
        instant = max(instant, found.instant)
    fingerprint = online.plan.fingerprint.hex()
    reached = min(instant, latest)
    return Position(history.table, history.version or 0, reached, table_id, fingerprint, history.fingerprint)
