"""`larder status`: what is stored, how far it has come, and who serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from larder.contracts.bundle import champions
from larder.contracts.settings import Settings


@dataclass(frozen=True)
class TableStatus:
    """A Delta table as it stands."""

    name: str
    """The table's folder, relative to the lake."""
    version: int | None
    """None of a table that cannot be opened."""
    rows: int | None
    """None where the table's log does not count them."""
    problem: str = ""
    """Why it cannot be opened."""


@click.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show tables with version and rows, the online store, and the champions."""
    console = Console()
    console.print(
        f"Clock      {settings.clock():%Y-%m-%d %H:%M:%S} UTC{'' if settings.replay_at is None else ' (replay)'}"
    )
    console.print(f"Lake       {settings.lake}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"Redis      {_redis_status(settings)}", soft_wrap=True, highlight=False, markup=False)
    for model, version in champions(settings.bundles):
        console.print(f"Champion   {model}, version {version}", highlight=False)
    if "://" in settings.lake:
        console.print("The tables of a lake on an object store are not listed here.")
        return
    table = Table("table", "version", "rows", title="Delta tables", title_justify="left")
    table.columns[1].justify = table.columns[2].justify = "right"
    stored = list(stored_tables(Path(settings.lake)))
    for item in stored:
        version = "damaged" if item.version is None else str(item.version)
        table.add_row(item.name, version, "not counted" if item.rows is None else f"{item.rows:,}")
    console.print(table if table.rows else "No tables yet. Run `larder run`, or `larder ingest` for the first step.")
    for item in stored:
        if item.problem:
            console.print(item.problem, style="red", soft_wrap=True, highlight=False, markup=False)


def stored_tables(lake: Path) -> Iterator[TableStatus]:
    """Every Delta table of a local lake, by name."""
    from larder.contracts.errors import LarderError
    from larder.offline.tables.delta_table import open_table
    from larder.versions.snapshot import row_count, table_names

    for name in table_names(str(lake)):
        try:
            table = open_table(str(lake / name))
        except LarderError as problem:
            yield TableStatus(name, None, None, str(problem))
        else:
            yield TableStatus(name, table.version(), row_count(table))


def _redis_status(settings: Settings) -> str:
    from larder.contracts.errors import LarderError
    from larder.online.server.connection import connect, redis_failures, without_password
    from larder.online.server.project import project_address

    try:
        address = project_address(settings)
        client = connect(address)
        with redis_failures(client):
            entries = client.dbsize()
    except LarderError as problem:
        return str(problem)
    return f"{without_password(address)}, {entries:,} keys"
