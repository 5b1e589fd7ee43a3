"""`larder ingest`: raw files into bronze, silver and label tables."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table

from larder.contracts.errors import InvalidDataError
from larder.contracts.reports import write_report
from larder.contracts.settings import Settings

if TYPE_CHECKING:
    from pipelines.ingest import IngestionResult


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--raw", type=click.Path(path_type=Path), help="Folder with raw files instead of LARDER_RAW.")
@click.pass_obj
def ingest(settings: Settings, files: tuple[Path, ...], raw: Path | None) -> None:
    """Bring raw files into the lake: bronze as they came, silver checked and merged, labels.

    Without FILES, everything new in the raw folder is taken; a first run copies the example's files there.
    Rows that do not fit go to quarantine/<table> with the reason; files that do not fit to quarantine/raw_files.
    Running it again changes nothing.
    """
    from larder.contracts.ingestion import Ingestion
    from larder.contracts.use_case import declared
    from larder.ledger import ledger_of
    from larder.spark.session import spark_session
    from pipelines.ingest import ingest as ingest_files
    from pipelines.ledger_entries import ingestion_entry
    from pipelines.raw import RawFolder, given_paths, patterns, provide_example, raw_folder

    started = time.monotonic()
    ingestion = declared("pipelines", Ingestion, settings)
    if raw is not None:
        settings = replace(settings, raw=raw.absolute())
    elif not files:
        provide_example(ingestion, settings)
    given = RawFolder(given_paths(files, ingestion.raw), []) if files else raw_folder(settings.raw, ingestion.raw)
    others = given.others
    if not any(given.by_table.values()):
        raise InvalidDataError(
            f"No file in {settings.raw} matches {patterns(ingestion.raw)}; it holds {len(others)} other files. "
            "Put raw files there or name them."
        )
    console, ledger = Console(), ledger_of(settings)
    ledger.require_writable()
    with console.status("Raw files to bronze, silver and labels on Spark ..."):
        result = ingest_files(ingestion, given.by_table, settings, lambda: spark_session(settings))
    ingestion_entry(ledger, ingestion, result, settings, at=settings.clock())
    seconds = time.monotonic() - started
    write_report(settings, "ingest", asdict(result) | {"seconds": seconds})
    if others:
        rest = f" and {len(others) - 1} more" if len(others) > 1 else ""
        console.print(f"Left alone: {others[0]}{rest}. File names are {patterns(ingestion.raw)}.", markup=False)
    _show(result, seconds, console)
    _require_something(result)


def _show(result: "IngestionResult", seconds: float, console: Console) -> None:
    if result.tables:
        # Short headings and narrow gaps, so that millions of rows fit into 80 columns.
        table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 0, 0, 1), pad_edge=False)
        table.add_column("table", no_wrap=True)
        for heading in ("rows", "new", "changed", "same", "refused", "s"):
            table.add_column(heading, justify="right")
        for item in result.tables:
            counts = (item.rows, item.new, item.updated, item.unchanged, item.quarantined)
            table.add_row(item.table, *(f"{count:,}" for count in counts), f"{item.seconds:.1f}")
        console.print(table)
    for item in result.tables:
        if item.quarantined:
            text = f"{item.table}: {item.quarantined:,} rows to quarantine, most often: {item.reason}"
            console.print(text, markup=False)
    for file in result.refused_files:
        console.print(f"Refused: {file.reason}", markup=False)
    news = "" if result.tables else "Nothing new. "
    console.print(f"{news}Files without news: {result.known_files}. {seconds:.1f} s")


def _require_something(result: "IngestionResult") -> None:
    rows = sum(item.rows for item in result.tables)
    taken = sum(item.rows - item.quarantined for item in result.tables)
    if result.refused_files and not result.known_files and not rows:
        raise InvalidDataError("Nothing was ingested: every file was refused, for the reasons above.")
    if rows and not taken:
        raise InvalidDataError("Nothing was ingested: every row went to quarantine, most often for the reason above.")
