"""A push in this process."""

from datetime import datetime

from larder.offline.history import History
from larder.push.gone import take_back
from larder.push.latest import latest_of, stored_batches
from larder.push.plan import Pushed, PushPlan
from larder.push.quarantine import Refused, keep_refused
from larder.push.write import Online, record_keys, remove_others, write_latest


def push_here(
    online: Online, history: History, plan: PushPlan, instant: datetime, *, now: datetime, quarantine: str
) -> Pushed:
    """Read what the plan says and write each entity's latest row; refused rows go to the table `quarantine`."""
    refused = Refused(history, now)
    batches = stored_batches(history, None if plan.files is None else list(plan.files))
    rows = latest_of(refused.noting(batches), history, instant)
    quarantined = keep_refused(quarantine, refused.rows, history, now)
    written = 0 if rows is None else write_latest(online, plan, rows)
    if plan.is_correcting:
        keys = [] if rows is None else record_keys(online.plan, online.project, rows)
        return Pushed(written, remove_others(online, set(keys)), quarantined)
    back, removed = take_back(online, history, plan.removed, rows, instant)
    return Pushed(written + back, removed, quarantined)
