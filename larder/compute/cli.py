"""`larder features`: from the definitions and silver tables to gold and the online store."""

import time
from typing import TYPE_CHECKING

import click

from larder.contracts.clock import parsed_instant
from larder.contracts.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from larder.compute.job import Materialized


@click.command()
@click.option("--until", metavar="INSTANT", help="Bring features up to this instant (ISO 8601); default: the clock.")
@click.pass_obj
def features(settings: Settings, until: str | None) -> None:
    """Apply the Feast definitions, refresh gold on Spark, write the latest values to Redis.

    The same as `feast apply` and `feast materialize-incremental`. What is current already is left alone.
    """
    started = time.monotonic()
    from rich.console import Console

    from larder.compute.ledger_entries import features_entry
    from larder.compute.materialize import apply_definitions, materialize
    from larder.ledger import ledger_of

    ledger = ledger_of(settings)
    ledger.require_writable()
    instant = parsed_instant(until, name="--until") if until else settings.clock()
    console = Console()
    with console.status("Applying the definitions"):
        store = apply_definitions(settings)
    with console.status(f"Materializing up to {instant:%Y-%m-%d %H:%M}Z") as progress:

        def report(view: "Materialized") -> None:
            progress.update(f"Materialized {view.view}")

        results = materialize(store, instant, report)
    features_entry(ledger, results, at=settings.clock())
    _print_table(console, results, instant.isoformat(), time.monotonic() - started)


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
