"""`larder features`: from the definitions and silver tables to gold and the online store."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from larder.contracts.clock import parsed_instant
from larder.contracts.errors import LarderError, first_line
from larder.contracts.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from rich.console import Console

    from larder.compute.job import Materialized


@click.command()
@click.option("--until", metavar="INSTANT", help="Bring features up to this instant (ISO 8601); default: the clock.")
@click.option("--follow", is_flag=True, help="Then stay, and do so at each instant of the windows' grid.")
@click.pass_obj
def features(settings: Settings, until: str | None, follow: bool) -> None:
    """Apply the Feast definitions, refresh gold, write the latest values to Redis.

    The same as `feast apply` and `feast materialize-incremental`. What is current already is left alone.
    """
    started = time.monotonic()
    if follow and (until or settings.replay_at):
        raise click.UsageError("--follow keeps up with the present: leave out --until, and unset LARDER_CLOCK.")
    from rich.console import Console

    from larder.compute.champions import starved_champions
    from larder.compute.ledger_entries import unrecorded_rows
    from larder.compute.materialize import apply_definitions
    from larder.ledger import ledger_of

    ledger = ledger_of(settings)
    ledger.require_writable()
    instant = parsed_instant(until, name="--until") if until else settings.clock()
    console = Console()
    with console.status("Applying the definitions"):
        store = apply_definitions(settings)
    for problem in starved_champions(store, settings):
        console.print(problem, style="yellow", highlight=False, markup=False, soft_wrap=True)
    with console.status(f"Materializing up to {instant:%Y-%m-%d %H:%M}Z") as progress:

        def report(view: "Materialized") -> None:
            progress.update(f"Materialized {view.view}")

        results, problems = _brought_up(store, settings, instant, report, partial(unrecorded_rows, ledger))
    _print_table(console, results, instant.isoformat(), time.monotonic() - started)
    if problems:
        raise LarderError(_told(problems))
    if follow:
        _follow(store, settings, console)


def _follow(store: "FeatureStore", settings: Settings, console: "Console") -> None:
    """Until interrupted. What fails is told and tried again at the next instant, for nothing is lost by it."""
    from larder.compute.follow import grid_instants, shortest_slide
    from larder.compute.ledger_entries import unrecorded_rows
    from larder.ledger import ledger_of

    slide, failure = shortest_slide(store), ""
    console.print(f"Following the grid of {slide}; Ctrl-C ends it.")
    for _ in grid_instants(slide, settings.clock, time.sleep):
        instant = settings.clock()
        # What this process did is on record, unless it failed between gold and the ledger.
        unrecorded = partial(unrecorded_rows, ledger_of(settings)) if failure else _nothing_unrecorded
        try:
            results, problems = _brought_up(store, settings, instant, lambda _: None, unrecorded)
            failure = _told(problems)
        except LarderError as problem:
            results, failure = [], str(problem)
        except Exception as problem:
            # A disk that is full, a store out of reach: it, too, may be well at the next instant.
            results, failure = [], f"{type(problem).__name__}: {first_line(problem)}"
        if failure:
            said = f"{instant:%Y-%m-%d %H:%M:%S}Z {failure}"
            console.print(said, style="red", highlight=False, markup=False, soft_wrap=True)
        for result in results:
            if result.is_news:
                console.print(f"{instant:%Y-%m-%d %H:%M:%S}Z {result}", highlight=False, soft_wrap=True)


def _nothing_unrecorded(_: "list[Materialized]") -> dict[str, int]:
    return {}


def _brought_up(
    store: "FeatureStore",
    settings: Settings,
    instant: datetime,
    report: "Callable[[Materialized], None]",
    unrecorded: "Callable[[list[Materialized]], dict[str, int]]",
) -> "tuple[list[Materialized], dict[str, LarderError]]":
    """Every view, and what the ledger keeps of it; then gold is compacted, when all values are online.

    Also the problem of each view that could not be brought up.
    """
    from larder.compute.ledger_entries import features_entry
    from larder.compute.materialize import compact_gold, materialize
    from larder.ledger import ledger_of

    problems: dict[str, LarderError] = {}
    results = materialize(store, instant, report, problems.__setitem__)
    features_entry(ledger_of(settings), results, at=settings.clock(), unrecorded=unrecorded(results))
    compact_gold(store)
    return results, problems


def _told(problems: Mapping[str, LarderError]) -> str:
    """A line for each view that could not be brought up; not every problem names its view by itself."""
    return "\n".join(f"{view}: {problem}" for view, problem in problems.items())


def _print_table(console: "Console", results: "list[Materialized]", instant: str, seconds: float) -> None:
    from rich.table import Table

    from larder.compute.job import unserved

    table = Table(title=f"Features as of {instant}", title_justify="left")
    table.add_column("View")
    for name in ("Gold rows appended", "Entities written online", "Seconds"):
        table.add_column(name, justify="right")
    for view in results:
        table.add_row(view.view, _count(view.appended), _count(view.pushed), f"{view.seconds:.1f}")
    table.add_section()
    appended, pushed = sum(view.appended or 0 for view in results), sum(view.pushed or 0 for view in results)
    table.add_row("Total", _count(appended), _count(pushed), f"{seconds:.1f}")
    console.print(table)
    for view in results:
        if view.quarantined or view.removed:
            console.print(view, style="yellow", highlight=False)
    if hint := unserved(results):
        console.print(hint, style="yellow", highlight=False)


def _count(rows: int | None) -> str:
    return "-" if rows is None else f"{rows:,}"
