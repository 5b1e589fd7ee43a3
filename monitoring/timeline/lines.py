"""Lines over time, with limits, alarms, and the versions that served as coloured bands behind them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from monitoring.reports.formats import number
from monitoring.timeline.axis import LEFT, RIGHT, WIDTH, TimeAxis, clipped, svg
from monitoring.timeline.served import Mark, Served, colours

TOP, BOTTOM, HEIGHT = 10, 24, 150
MOST_DOTS = 45
"""More points than this are drawn as a line only; alarms always get their dot."""


@dataclass(frozen=True)
class Point:
    at: datetime
    value: float | None
    """None where nothing could be told: the line is broken there."""
    title: str
    limit: float | None = None
    is_alarm: bool = False


@dataclass(frozen=True)
class Line:
    name: str
    points: tuple[Point, ...]
    is_quiet: bool = False
    """Drawn behind, dashed: what the main line is compared with."""


def line_plot(
    axis: TimeAxis, name: str, lines: Sequence[Line], *, served: Sequence[Served] = (), marks: Sequence[Mark] = ()
) -> Markup:
    """The lines with a common scale, `name` and the first line's latest value left of it; empty without a value."""
    numbers = [value for line in lines for point in line.points for value in _numbers(point)]
    if not any(_is(point.value) for line in lines for point in line.points):
        return Markup()
    scale = _Scale.over(numbers)
    latest = next((point.value for point in reversed(lines[0].points) if point.value is not None), None)
    parts = [bands(axis, served, top=TOP, bottom=HEIGHT - BOTTOM), axis.grid(top=TOP, bottom=HEIGHT - BOTTOM)]
    parts.append(scale.grid())
    parts += [_marks(axis, marks)]
    parts += [_line(axis, scale, line) for line in reversed(lines)]
    parts.append(_caption(name, latest, lines))
    return svg(Markup("").join(parts), title=f"{name} over time, latest {number(latest)}", height=HEIGHT)


def bands(axis: TimeAxis, served: Sequence[Served], *, top: float, bottom: float) -> Markup:
    """One coloured rectangle for each time that a version served."""
    colour = colours(served)
    spans = [(item, axis.x(item.since), axis.x(item.until or axis.end)) for item in served]
    return Markup("").join(
        Markup('<rect class="band v{}" x="{}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
            colour[item.version], left, top, right - left, bottom - top, item.title
        )
        for item, left, right in spans
        if right > left
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    step: float

    @classmethod
    def over(cls, numbers: Sequence[float]) -> "_Scale":
        """Round limits around all numbers, with about three steps between them."""
        low, high = min(numbers), max(numbers)
        if high == low:
            low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
        rough = (high - low) / 3
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
        return cls(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def grid(self) -> Markup:
        ticks = [self.low + self.step * index for index in range(round((self.high - self.low) / self.step) + 1)]
        return Markup("").join(
            Markup(
                '<path class="grid" d="M{0} {1}H{2}"/><text x="{3}" y="{4}" text-anchor="end">{5:.4g}</text>'
            ).format(LEFT, self.y(tick), WIDTH - RIGHT, LEFT - 6, self.y(tick) + 3, 0.0 if abs(tick) < 1e-12 else tick)
            for tick in ticks
        )


def _line(axis: TimeAxis, scale: _Scale, line: Line) -> Markup:
    kind = "curve quiet" if line.is_quiet else "curve"
    parts: list[Markup] = []
    limits = _path(_spot(axis, scale, point.at, point.limit) for point in line.points)
    if limits:
        parts.append(Markup('<path class="limit" d="{}"/>').format(limits))
    curve = _path(_spot(axis, scale, point.at, point.value) for point in line.points)
    if curve:
        parts.append(Markup('<path class="{}" d="{}"/>').format(kind, curve))
    shown = [point for point in line.points if _is(point.value)]
    are_few = len(shown) <= MOST_DOTS and not line.is_quiet
    radius = 4.0 if len(shown) <= MOST_DOTS else 2.5
    parts += [_dot(axis, scale, point, radius) for point in shown if point.is_alarm or are_few or len(shown) == 1]
    parts += [_gap(axis, point) for point in line.points if not _is(point.value) and not line.is_quiet]
    return Markup("").join(parts)


def _spot(axis: TimeAxis, scale: _Scale, at: datetime, value: float | None) -> tuple[float, float] | None:
    return None if value is None or not math.isfinite(value) else (axis.x(at), scale.y(value))


def _dot(axis: TimeAxis, scale: _Scale, point: Point, radius: float) -> Markup:
    kind = "dot alarm" if point.is_alarm else "dot"
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{:g}"><title>{}</title></circle>').format(
        kind, axis.x(point.at), scale.y(point.value or 0.0), radius if point.is_alarm else 2.5, point.title
    )


def _gap(axis: TimeAxis, point: Point) -> Markup:
    return Markup('<path class="gap" d="M{} {}v6"><title>{}</title></path>').format(
        axis.x(point.at), HEIGHT - BOTTOM - 6, point.title
    )


def _marks(axis: TimeAxis, marks: Sequence[Mark]) -> Markup:
    return Markup("").join(
        Markup('<path class="mark {}" d="M{} {}V{}"><title>{}</title></path>').format(
            mark.act, axis.x(mark.at), TOP, HEIGHT - BOTTOM, mark.title
        )
        for mark in marks
        if axis.start <= mark.at <= axis.end
    )


def _caption(name: str, latest: float | None, lines: Sequence[Line]) -> Markup:
    names = [line.name for line in lines if line.name]
    return Markup(
        '<text class="name" x="0" y="{}">{}</text><text class="latest" x="0" y="{}">{}</text>{}'
    ).format(
        TOP + 12, clipped(name, 20), TOP + 38, number(latest),
        Markup("").join(
            Markup('<path class="{}" d="M0 {}h16"/><text x="21" y="{}">{}</text>').format(
                "curve quiet" if line.is_quiet else "curve", TOP + 57 + 15 * index, TOP + 60 + 15 * index,
                clipped(line.name, 18),
            )
            for index, line in enumerate(lines)
        )
        if len(names) > 1
        else "",
    )  # fmt: skip


def _path(points: Iterable[tuple[float, float] | None]) -> str:
    """A line through the points that is broken at each None; a point alone between two gaps leaves no line."""
    text, pen = "", "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        text += f"{pen}{point[0]:g} {point[1]:g}"
        pen = "L"
    return text


def _numbers(point: Point) -> list[float]:
    return [value for value in (point.value, point.limit) if value is not None and _is(value)]


def _is(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
