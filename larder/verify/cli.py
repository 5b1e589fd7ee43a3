"""`larder verify`."""

import time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from larder.contracts.errors import DifferenceError
from larder.contracts.reports import write_report
from larder.contracts.settings import Settings

if TYPE_CHECKING:
    from larder.verify.compare import ViewComparison


@click.command()
@click.pass_obj
def verify(settings: Settings) -> None:
    """Compare every online value with its offline value at the clock's instant.

    All entities of all online views. The offline side is the as-of join that training uses. Prints counts per
    view, and per feature with the cause wherever something differs; exit code 2 on any difference.

    \b
    Causes:  missing  Redis lacks the entity
             extra    Redis serves a value that history does not have
             behind   Redis holds an older row (materialize again)
             ahead    Redis holds a newer row (is the clock behind the last materialization?)
             value    same row, other value (a defect)
    """
    from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
    from larder.online.server.embedded import online_address
    from larder.registry import feature_store
    from larder.verify.proof import compared_store

    console = Console()
    started, instant = time.monotonic(), settings.clock()
    store = feature_store(settings)
    client = connect(online_address(settings), timeout_seconds=BULK_TIMEOUT_SECONDS)
    table = Table(
        "view", "entities", "features", "equal", "stale", "different", title=f"Online = offline at {instant}?"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    views = []
    for view in compared_store(store, client, instant=instant):
        views.append(view)
        table.add_row(view.view, *map(_number, _totals(view)), style="red" if view.different else None)
    console.print(table)
    for view in views:
        _print_differences(console, view)
    compared, different = sum(view.compared for view in views), sum(view.different for view in views)
    content = {"at": instant.isoformat(), "compared": compared, "different": different}
    seconds = round(time.monotonic() - started, 2)
    write_report(settings, "verify", content | {"views": [_as_json(view) for view in views], "seconds": seconds})
    if different:
        raise DifferenceError(
            f"{different:,} of {compared:,} online values differ from their offline value at {instant}. "
            "The causes are above; `larder features` brings Redis up to the tables."
        )
    console.print(f"[green]All {compared:,} online values equal their offline value.[/]", highlight=False)


def _totals(view: "ViewComparison") -> tuple[int, ...]:
    equal, stale = (sum(getattr(item, name) for item in view.features) for name in ("equal", "stale"))
    return view.entities, len(view.features), equal, stale, view.different


def _number(value: int) -> str:
    return f"{value:,}"


def _print_differences(console: Console, view: "ViewComparison") -> None:
    if view.strays:
        console.print(f"[red]{view.view}: Redis holds {view.strays:,} entities that the history does not know.[/]")
    for item in view.features:
        if item.different:
            causes = ", ".join(f"{count:,} {cause}" for cause, count in item.causes.items())
            console.print(f"[red]{view.view}:{item.feature}: {item.different:,} different ({causes})[/]")


def _as_json(view: "ViewComparison") -> dict[str, Any]:
    return {
        "view": view.view,
        "entities": view.entities,
        "strays": view.strays,
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
