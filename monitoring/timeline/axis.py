"""The time axis that all plots of the monitoring page share, so that they can be read one below the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

WIDTH, LEFT, RIGHT = 960, 184, 14
"""Of every plot; left of the axis stand names and latest values."""

MOST_TICKS = 9
_STEPS = [timedelta(hours=hours) for hours in (1, 3, 6, 12)] + [
    timedelta(days=days) for days in (1, 2, 4, 7, 14, 28, 56, 91, 182, 364)
]
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class TimeAxis:
    """Instants from `start` to `end`, UTC, from left to right."""

    start: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        """Where `at` lies; what is outside lies on the edge."""
        share = (at - self.start) / (self.end - self.start)
        return round(LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT), 1)

    def ticks(self) -> list[tuple[datetime, str]]:
        """Round instants and their labels, at most about nine."""
        span = self.end - self.start
        step = next((step for step in _STEPS if span / step <= MOST_TICKS), _STEPS[-1])
        at = _MONDAY + -(-(self.start - _MONDAY) // step) * step
        found = []
        while at <= self.end:
            found.append((at, f"{at.day} {at:%b}" if at == _midnight(at) else f"{at:%H:%M}"))
            at += step
        return found

    def grid(self, *, top: float, bottom: float) -> Markup:
        """Vertical lines from `top` to `bottom` with their labels below."""
        return Markup("").join(
            Markup(
                '<path class="grid" d="M{0} {1}V{2}"/><text x="{0}" y="{3}" text-anchor="{5}">{4}</text>'
            ).format(self.x(at), top, bottom, bottom + 15, label, _anchor(self.x(at)))
            for at, label in self.ticks()
        )  # fmt: skip


def time_axis(windows: Sequence[tuple[datetime, datetime]]) -> TimeAxis:
    """From the start of the first window to the end of the last; of overlapping windows the part that is new counts."""
    first = min(end for _, end in windows)
    shortest = min((end - start for start, end in windows if end > start), default=timedelta(days=1))
    return TimeAxis(first - shortest, max(end for _, end in windows))


def period(start: datetime, end: datetime) -> str:
    """`3 Nov` for a day, `3 Nov 06:00 to 12:00` or `3 Nov to 9 Nov` for other windows (start, end]."""
    if _midnight(start) == start and _midnight(end) == end:
        last = end - timedelta(days=1)
        return _day(start) if last <= start else f"{_day(start)} to {_day(last)}"
    if start.date() == end.date():
        return f"{_day(start)} {start:%H:%M} to {end:%H:%M}"
    return f"{_day(start)} {start:%H:%M} to {_day(end)} {end:%H:%M}"


def svg(marks: Markup, *, title: str, height: float) -> Markup:
    """A plot as wide as the page."""
    return Markup(
        '<svg class="plot long" role="img" aria-label="{0}" viewBox="0 0 {1} {2}">{3}</svg>'
    ).format(title, WIDTH, height, marks)  # fmt: skip


def clipped(name: str, length: int) -> Markup:
    """The name, or its start and end, with the whole of it to be read on hovering."""
    if len(name) <= length:
        return Markup("{}").format(name)
    kept = (length - 1) // 2
    return Markup("{}…{}<title>{}</title>").format(name[:kept], name[-(length - 1 - kept) :], name)


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b}"


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _anchor(x: float) -> str:
    return "end" if x > WIDTH - RIGHT - 14 else "middle"
