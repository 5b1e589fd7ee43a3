"""A push in this process."""

from datetime import datetime

import pyarrow as pa

from larder.offline.history import History
from larder.online.writer import write_records
from larder.push.latest import latest_of, stored_batches
from larder.push.plan import Pushed, PushPlan
from larder.push.quarantine import Refused, keep_refused
from larder.push.write import Online, remove_others, write_exactly, write_newer


def push_here(
    online: Online, history: History, plan: PushPlan, instant: datetime, *, now: datetime, quarantine: str
) -> Pushed:
    """Read what the plan says and write each entity's latest row; refused rows go to the table `quarantine`."""
    refused = Refused(history, now)
    batches = stored_batches(history, None if plan.files is None else list(plan.files))
    rows = latest_of(refused.noting(batches), history, instant)
    quarantined = keep_refused(quarantine, refused.rows, history, now)
    written = 0 if rows is None else write_latest(online, plan, rows)
    removed = 0
    if plan.is_correcting:
        removed = remove_others(online, set() if rows is None else set(online.packed(rows)))
    return Pushed(written, removed, quarantined)


def write_latest(online: Online, plan: PushPlan, rows: pa.Table) -> int:
    """As the plan needs it; how many entities were written."""
    if plan.is_correcting:
        return write_exactly(online, rows)
    if plan.why_full:
        return write_records(online.client, online.plan, online.project, rows).written
    return write_newer(online, rows)
