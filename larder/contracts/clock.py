"""Where "now" comes from, and instants as numbers. Functions take a clock; none of them asks the system."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from larder.contracts.errors import ConfigurationError

Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """Since 1970; `instant` has a time zone."""
    return (instant - EPOCH) // MICROSECOND


def system_clock() -> datetime:
    """The present instant, UTC."""
    return datetime.now(UTC)


def replay_clock(instant: datetime) -> Clock:
    """A clock that stands at `instant` (time zone required)."""
    if instant.tzinfo is None:
        raise ConfigurationError(
            f"The replay instant {instant.isoformat()} has no time zone. Write it with one, for example "
            f"{instant.isoformat()}Z."
        )
    fixed = instant.astimezone(UTC)
    return lambda: fixed


def parsed_instant(text: str, *, name: str) -> datetime:
    """An ISO 8601 instant with a time zone, as UTC. `name` says in the error where the text came from."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{name} is {text!r}, which is no ISO 8601 instant. Write it like 2013-12-28T17:00:00Z."
        ) from None
    return replay_clock(instant)()
