"""Volume: answers in the window against the same hours of the same weekdays of the four weeks before."""

from collections.abc import Sequence
from itertools import dropwhile
from statistics import median

from scipy.stats import poisson

from larder.contracts.monitoring import Finding, Monitoring
from monitoring.monitors.window import Window, verdict_of

WEEKS = 4


def volume(window: Window, subject: str, count: int, earlier: Sequence[int], limits: Monitoring) -> list[Finding]:
    """`earlier` holds the answers of the windows one to four weeks before, the oldest first.

    Empty weeks before the first answer are no history, and neither is the window in which it fell: it may hold only a
    part. Without history a number of answers is as good as any other: a young system must not be blocked by it.
    """
    history = list(dropwhile(lambda answers: answers == 0, earlier))
    if len(history) < len(earlier):
        history = history[1:]
    answered = window.reported("volume", subject, "answers", count, f"{count:,} answers in the window.")
    if not history:
        if count or any(earlier):
            return [answered]
        return [window.unknown("volume", subject, "answers", "No answer was logged, in this window or before.")]
    usual = median(history)
    change = count / usual - 1 if usual else float(count > 0)
    # A count scatters by its square root even where nothing has changed.
    chance = min(1.0, 2 * min(poisson.cdf(count, usual), poisson.sf(count - 1, usual)))
    verdict = verdict_of(abs(change) > limits.volume_change and chance < limits.false_alarms)
    evidence = f"{count:,} answers; the same weekday of the {len(history)} weeks before had {usual:,.0f} (median)."
    return [answered, window.judged("volume", subject, "change", change, limits.volume_change, verdict, evidence)]
