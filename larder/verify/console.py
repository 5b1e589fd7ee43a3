"""What `larder verify` shows."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from larder.verify.causes import CAUSES, Cause
from larder.verify.counts import ViewComparison


def print_comparison(console: Console, views: Sequence[ViewComparison], *, title: str) -> None:
    """Counts per view, and per feature with the causes wherever something differs."""
    table = Table("view", "entities", "features", "equal", "stale", "different", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for view in views:
        table.add_row(view.view, *map(_number, _totals(view)), style="red" if view.different or view.error else None)
    console.print(table)
    for view in views:
        _print_differences(console, view)


def print_repairs(console: Console, repaired: Counter[Cause], *, view: str) -> None:
    if repaired.total():
        counts = ", ".join(f"{repaired[cause]:,} {cause}" for cause in CAUSES if repaired[cause])
        console.print(f"{view}: {repaired.total():,} entities repaired ({counts})", highlight=False)


def print_round(console: Console, views: Sequence[ViewComparison], *, at: datetime) -> None:
    """One line, and what differs."""
    compared, different = sum(view.compared for view in views), sum(view.different for view in views)
    console.print(f"{at:%Y-%m-%d %H:%M:%S}Z  {compared:,} values compared, {different:,} different", highlight=False)
    for view in views:
        _print_differences(console, view)


def as_json(view: ViewComparison) -> dict[str, Any]:
    """For the run's report."""
    return {
        "view": view.view,
        "entities": view.entities,
        "strays": view.strays,
        "error": view.error,
        "features": [
            {
                "feature": item.feature,
                "equal": item.equal,
                "different": item.different,
                "missing": item.missing,
                "stale": item.stale,
                "causes": item.causes,
            }
            for item in view.features
        ],
    }


def _totals(view: ViewComparison) -> tuple[int, ...]:
    equal, stale = (sum(getattr(item, name) for item in view.features) for name in ("equal", "stale"))
    return view.entities, len(view.features), equal, stale, view.different


def _number(value: int) -> str:
    return f"{value:,}"


def _print_differences(console: Console, view: ViewComparison) -> None:
    if view.error:
        _print_red(console, f"{view.view}: not compared. {view.error}")
    if view.strays:
        _print_red(console, f"{view.view}: Redis holds {view.strays:,} entities that the history does not know.")
    for item in view.features:
        if item.different:
            causes = ", ".join(f"{count:,} {cause}" for cause, count in item.causes.items())
            _print_red(console, f"{view.view}:{item.feature}: {item.different:,} different ({causes})")


def _print_red(console: Console, line: str) -> None:
    """Names as they are: to rich `:cat:` is a picture and `[x]` a style."""
    console.print(line, style="red", markup=False, emoji=False, soft_wrap=True)
