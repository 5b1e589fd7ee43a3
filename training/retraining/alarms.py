"""What the findings of monitors come to: triggers that fired, and bad data that forbid training."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from larder.contracts.monitoring import Finding, Verdict
from larder.contracts.retraining import Trigger


@dataclass(frozen=True)
class Windows:
    """The last `n` windows of one subject, as a trigger counts them."""

    trigger: Trigger
    subject: str
    alarms: int
    seen: int
    """Windows there are, at most the trigger's `n`."""
    is_latest_alarm: bool

    @property
    def has_fired(self) -> bool:
        return self.is_latest_alarm and self.alarms >= self.trigger.k

    @property
    def sentence(self) -> str:
        latest = "and in the latest" if self.is_latest_alarm else "but not in the latest"
        return (
            f"{self.trigger.metric} of {self.subject} ({self.trigger.monitor}) alarmed in {self.alarms} of the last "
            f"{self.seen} windows {latest}; the policy asks for {self.trigger.k} of {self.trigger.n}"
        )


def judged_windows(trigger: Trigger, findings: Iterable[Finding], *, since: datetime | None) -> list[Windows]:
    """Per subject, the most alarms first, over windows that ended after `since`.

    A window that could not be judged is one without an alarm: a trigger needs proof.
    """
    windows: dict[str, dict[datetime, Finding]] = defaultdict(dict)
    for found in findings:
        is_meant = (found.monitor, found.metric) == (trigger.monitor, trigger.metric)
        if is_meant and trigger.subject in ("", found.subject) and (since is None or found.window_end > since):
            newer = windows[found.subject].get(found.window_end)
            if newer is None or newer.run_at <= found.run_at:
                windows[found.subject][found.window_end] = found
    counted = [_windows(trigger, subject, ended) for subject, ended in windows.items()]
    return sorted(counted, key=lambda found: (-found.alarms, found.subject))


def open_problems(monitors: Sequence[str], findings: Sequence[Finding], *, lasting: timedelta) -> Iterator[str]:
    """Why the data cannot be trusted, one sentence per monitor of `monitors`: its latest window alarms or cannot tell.

    "Cannot tell" counts where an earlier window of the same subject and metric could be judged, or where the monitor
    told something before and tells nothing at all now: what could be seen is hidden. What never could be judged,
    before the first predictions or with too little history, forbids nothing, and neither does a monitor that never
    ran: else no first model could be trained. An alarm that began more than `lasting` before its latest window is how
    the data are now, also if it paused: near a limit some days lie on this side of it. Only after as long without an
    alarm the next one is new. So findings of twice that time are needed.
    """
    for monitor in monitors:
        own = [found for found in findings if found.monitor == monitor]
        if not own:
            continue
        end = max(found.window_end for found in own)
        judged = {(found.subject, found.metric) for found in own if found.verdict is not Verdict.UNKNOWN}
        latest = [found for found in own if found.window_end == end]
        alarms = [
            found
            for found in latest
            if found.verdict is Verdict.ALARM and end - _alarming_since(found, own, lasting) <= lasting
        ]
        unknown = [found for found in latest if found.verdict is Verdict.UNKNOWN]
        is_silent = bool(judged) and unknown == latest
        blind = [found for found in unknown if is_silent or (found.subject, found.metric) in judged]
        if alarms:
            yield _problem(f"{monitor} alarms", alarms)
        elif blind:
            yield _problem(f"{monitor} cannot tell", blind)


def _alarming_since(latest: Finding, findings: Sequence[Finding], pause: timedelta) -> datetime:
    """End of the first window in which the same alarmed, up to `latest` and with no `pause` as long between two."""
    about = (latest.subject, latest.metric, Verdict.ALARM)
    alarms = {found.window_end for found in findings if (found.subject, found.metric, found.verdict) == about}
    since = latest.window_end
    for end in sorted(alarms, reverse=True):
        if since - end >= pause:
            break
        since = end
    return since


def _windows(trigger: Trigger, subject: str, ended: dict[datetime, Finding]) -> Windows:
    verdicts = [ended[end].verdict for end in sorted(ended)][-trigger.n :]
    return Windows(
        trigger, subject, verdicts.count(Verdict.ALARM), len(verdicts), is_latest_alarm=verdicts[-1] is Verdict.ALARM
    )


def _problem(what: str, found: Sequence[Finding]) -> str:
    first = min(found, key=lambda item: (item.subject, item.metric))
    others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{what}: {first.subject}: {first.evidence}{others}"
