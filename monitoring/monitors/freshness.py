"""Freshness: how far the online store is behind the clock, and whether events still come, per feature view.

How old the newest event may be depends on how often events happen and how often they are delivered, which the earlier
runs of the monitor tell together: the age is held against what it was then.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from larder.contracts.errors import InvalidDataError
from larder.contracts.monitoring import Finding, Monitoring
from monitoring.monitors.window import Window, verdict_of

AGE = "age_hours"
FEWEST_AGES = 7
"""Earlier runs without which an age is reported and not judged."""
QUANTILE = 0.9
"""Of the earlier ages, so that a single late delivery does not make the next one usual."""

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class ViewState:
    """How far a feature view has come."""

    view: str
    newest_event_at: datetime | None
    """Newest event timestamp of the view's source known by now; None for an empty source."""
    online_until: datetime | None
    """Instant up to which the online store was materialized; None when it never was."""
    unread: str = ""
    """Why the source cannot be read; its newest event is not known then."""


def freshness(
    window: Window, views: Sequence[ViewState], earlier_ages: Mapping[str, Sequence[float]], limits: Monitoring
) -> list[Finding]:
    """`earlier_ages`: view -> hours that its newest event was old in the runs of the weeks before, without alarms.

    Raises InvalidDataError when no view is named: of nothing nothing can be told.
    """
    if not views:
        raise InvalidDataError("No feature view is known. Is the registry applied (`larder features`) and Redis up?")
    return [
        finding
        for state in views
        for finding in (*_lag(window, state, limits), *_age(window, state, earlier_ages.get(state.view, ()), limits))
    ]


def _lag(window: Window, state: ViewState, limits: Monitoring) -> Iterator[Finding]:
    if state.online_until is None:
        evidence = "The online store was never materialized; run `larder features`."
        yield window.unknown("freshness", state.view, "lag_hours", evidence)
        return
    lag = max(window.end - state.online_until, timedelta(0))
    evidence = f"The online store reflects {state.online_until:%Y-%m-%d %H:%M:%S} UTC, {lag} behind the clock."
    verdict = verdict_of(lag > limits.lag)
    yield window.judged("freshness", state.view, "lag_hours", lag / _HOUR, limits.lag / _HOUR, verdict, evidence)


def _age(window: Window, state: ViewState, earlier: Sequence[float], limits: Monitoring) -> Iterator[Finding]:
    if state.unread:
        yield window.unknown("freshness", state.view, AGE, state.unread)
    if state.newest_event_at is None:
        return
    age = (window.end - state.newest_event_at) / _HOUR
    evidence = f"The newest event is of {state.newest_event_at:%Y-%m-%d %H:%M:%S} UTC"
    if len(earlier) < FEWEST_AGES:
        yield window.reported("freshness", state.view, AGE, age, f"{evidence}.")
        return
    usual = max(0.0, float(np.quantile(earlier, QUANTILE, method="higher")))
    limit = limits.silence * usual + limits.lag / _HOUR
    evidence += f", {age:.1f} h old; in nine of ten of the {len(earlier)} runs before it was {usual:.1f} h at most."
    yield window.judged("freshness", state.view, AGE, age, limit, verdict_of(age > limit), evidence)
