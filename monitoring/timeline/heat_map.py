"""Who alarmed when: one row per subject, one column per window, the colour says how near the limit it was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from larder.contracts.monitoring import Verdict
from monitoring.timeline.axis import TimeAxis, clipped, period, svg

ROW, GAP, TOP, BOTTOM = 17, 2, 4, 24
STRENGTHS = 4
"""Colours of what is within its limit, from far below to just below."""


@dataclass(frozen=True)
class Cell:
    start: datetime
    end: datetime
    verdict: Verdict
    strength: int
    """0 to STRENGTHS - 1, for what is ok."""
    title: str

    @property
    def kind(self) -> str:
        """Class in the style sheet."""
        return {Verdict.ALARM: "alarm", Verdict.UNKNOWN: "unknown"}.get(self.verdict, f"s{self.strength}")


@dataclass(frozen=True)
class HeatRow:
    name: str
    cells: tuple[Cell, ...]
    """By time."""


def heat_map(axis: TimeAxis, title: str, rows: Sequence[HeatRow]) -> Markup:
    """Cells of equal colour that follow one another are drawn as one, so that a year stays small."""
    if not rows:
        return Markup()
    bottom = TOP + ROW * len(rows)
    marks = [axis.grid(top=TOP, bottom=bottom)]
    for index, row in enumerate(rows):
        top = TOP + ROW * index
        marks.append(Markup('<text class="row" x="0" y="{}">{}</text>').format(top + 12, clipped(row.name, 28)))
        marks += [_run(axis, run, top) for run in _runs(row.cells)]
    return svg(Markup("").join(marks), title=title, height=bottom + BOTTOM)


def _runs(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Neighbours that look and say the same; what is calm says nothing."""
    runs: list[list[Cell]] = []
    for cell in cells:
        last = runs[-1][-1] if runs else None
        if last is not None and last.end >= cell.start and _looks(last) == _looks(cell):
            runs[-1].append(cell)
        else:
            runs.append([cell])
    return runs


def _looks(cell: Cell) -> tuple[str, str]:
    return cell.kind, "" if _is_calm(cell) else cell.title


def _run(axis: TimeAxis, run: Sequence[Cell], top: float) -> Markup:
    left, right = axis.x(run[0].start), axis.x(run[-1].end)
    rectangle = Markup('<rect class="cell {}" x="{}" y="{}" width="{:.1f}" height="{}"').format(
        run[0].kind, left, top, max(right - left, 1.0), ROW - GAP
    )
    if _is_calm(run[0]):
        return rectangle + Markup("/>")
    title = f"{period(run[0].start, run[-1].end)}: {run[0].title}"
    return rectangle + Markup("><title>{}</title></rect>").format(title)


def _is_calm(cell: Cell) -> bool:
    return cell.verdict == Verdict.OK
