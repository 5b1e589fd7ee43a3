"""Freshness: how far the online store is behind the clock, and how old the newest event is, per feature view."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from larder.contracts.errors import InvalidDataError
from larder.contracts.monitoring import Finding, Monitoring
from monitoring.monitors.window import Window, verdict_of

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class ViewState:
    """How far a feature view has come."""

    view: str
    newest_event_at: datetime | None
    """Newest event timestamp in the view's history known by now; None for an empty history."""
    online_until: datetime | None
    """Instant up to which the online store was materialized; None when it never was."""


def freshness(window: Window, views: Sequence[ViewState], limits: Monitoring) -> list[Finding]:
    """Raises InvalidDataError when no view is named: of nothing nothing can be told."""
    if not views:
        raise InvalidDataError("No feature view is known. Is the registry applied (`larder features`) and Redis up?")
    return [finding for state in views for finding in _view_freshness(window, state, limits)]


def _view_freshness(window: Window, state: ViewState, limits: Monitoring) -> Iterator[Finding]:
    if state.online_until is None:
        evidence = "The online store was never materialized; run `larder features`."
        yield window.unknown("freshness", state.view, "lag_hours", evidence)
    else:
        lag = max(window.end - state.online_until, timedelta(0))
        evidence = f"The online store reflects {state.online_until:%Y-%m-%d %H:%M:%S} UTC, {lag} behind the clock."
        verdict = verdict_of(lag > limits.lag)
        yield window.judged("freshness", state.view, "lag_hours", lag / _HOUR, limits.lag / _HOUR, verdict, evidence)
    if state.newest_event_at is not None:
        evidence = f"The newest event is of {state.newest_event_at:%Y-%m-%d %H:%M:%S} UTC."
        age = (window.end - state.newest_event_at) / _HOUR
        yield window.reported("freshness", state.view, "age_hours", age, evidence)
