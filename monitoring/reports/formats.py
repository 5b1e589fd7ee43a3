"""Values as people read them."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

UNKNOWN = "—"
NOT_KNOWN = "not known"


def number(value: Any) -> str:
    """A value for people: three or four digits that matter, thousands separated, unknown as a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:,.1f}".removesuffix(".0") if 10 <= abs(value) < 1e9 else f"{value:.1e}"


def percent(share: float | None) -> str:
    """`24%`; near 0 and 1, where rare things are told apart, with one digit more, and never rounded to either."""
    if share is None:
        return UNKNOWN
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    return f"{share:.0%}" if share in (0, 1) or 0.1 <= share <= 0.9 else f"{share:.1%}"


def gigabytes(amount: float | None) -> str:
    return UNKNOWN if amount is None else f"{amount:.1f} GB"


def outcome(value: bool | float | None) -> str:
    """Of a question with yes or no."""
    return NOT_KNOWN if value is None else "yes" if value else "no"


def measured(value: float | None) -> str:
    """The number that came of a question for one."""
    return NOT_KNOWN if value is None else number(value)


def instant(text: str) -> str:
    """An ISO 8601 instant as `28 Dec 2013, 17:00 UTC`; other text as it is."""
    at = _instant(text)
    if at is None or at.tzinfo is None:
        return text
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def day(text: str) -> str:
    """The day of an ISO 8601 instant in its own time zone, since a window is declared in one."""
    at = _instant(text)
    return text if at is None else f"{at.day} {at:%B %Y}"


def request(fields: Mapping[str, Any]) -> str:
    """A request's values in their order, instants readable."""
    return " · ".join(instant(value) if isinstance(value, str) else number(value) for value in fields.values())


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _instant(text: str) -> datetime | None:
    """The instant, or None when `text` is none; short digits such as `2013` are names, not dates."""
    try:
        return datetime.fromisoformat(text) if len(text) >= len("2013-12-28T17:00Z") else None
    except ValueError:
        return None
