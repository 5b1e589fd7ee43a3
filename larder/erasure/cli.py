"""`larder erase`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from larder.contracts.settings import Settings
from larder.ledger import Act, ledger_of
from larder.lock import only_one_ingestion

if TYPE_CHECKING:
    from larder.erasure.plan import Erasure
    from larder.ledger import Ledger

BEGUN = "Begun:"
NAMES_IN_A_LINE = 5
WAITING = (
    "Answers of a server wait in the spool of the state folder and were not looked at: once `larder serve` has stored "
    "them, run this command again."
)


@click.command(context_settings={"max_content_width": 110})
@click.argument("keys", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.option("--alias", "aliases", metavar="KEY=COLUMN", multiple=True, help="A column that holds the same key.")
@click.option(
    "--table", "names", metavar="TABLE", multiple=True, help="Look there, instead of in every table of the lake."
)
@click.option("--reason", default="Asked for.", help="For the ledger. Do not name the person.", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only show what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(
    settings: Settings,
    keys: tuple[str, ...],
    aliases: tuple[str, ...],
    names: tuple[str, ...],
    reason: str,
    dry_run: bool,
    yes: bool,
) -> None:
    """Erase one entity, such as a person, from every table and from the online store.

    KEY is a join key of the feature repository; with several, rows with all these values are meant. Rows are deleted
    from all tables that have the columns, and with them all older versions of these tables, since they hold the rows,
    too: what pins such a version cannot be rebuilt. Features of other entities that were computed from the rows are
    corrected by the next `larder features`.

    \b
    larder erase customer_id=42 --dry-run
    larder erase customer_id=42 --alias customer_id=cust --reason "request 2024-17"

    Raw files, reports and MLflow are left alone; docs/governance.md says what to look at. Run it while no other
    process writes the tables, except servers, whose log may grow meanwhile.
    """
    from larder.erasure.online import OnlineRecords
    from larder.erasure.plan import broken_pins, carry_out, erasure
    from larder.erasure.subject import subject
    from larder.registry import feature_store
    from larder.versions.snapshot import table_names
    from larder.versions.vacuum import holders

    console = Console(soft_wrap=True)
    ledger = ledger_of(settings)
    ledger.require_writable()
    store = feature_store(settings)
    online = OnlineRecords(store, settings)
    whom = subject(store, dict(map(_pair, keys)), _lists(map(_pair, aliases)))
    with only_one_ingestion(settings.state):
        tables = names or table_names(settings.lake)
        found = erasure(store, whom, tables, online, lake=settings.lake)
        held, _ = holders(settings)
        _print_found(console, found, broken_pins(found, held, lake=settings.lake))
        if next(settings.state.glob("spool/*/*/*.rows"), None):
            console.print(WAITING, highlight=False)
        if dry_run:
            return
        if not found.is_due:
            if _is_open(ledger):
                ledger.append(Act.ERASURE, "erasure", at=settings.clock(), reason=f"Done: {reason} Nothing was left.")
            return
        if not yes:
            click.confirm("Erase it? Nothing brings it back.", abort=True)
        inputs = {"keys": sorted(key.name for key in whom.keys)} | found.counts()
        ledger.append(Act.ERASURE, "erasure", at=settings.clock(), reason=f"{BEGUN} {reason}", inputs=inputs)
        outcome = carry_out(found, online, lake=settings.lake, done=lambda part: console.print(f"  {part}: erased"))
        ledger.append(Act.ERASURE, "erasure", at=settings.clock(), reason=f"Done: {reason}", outcome=outcome)
    console.print("Erased. Run `larder features` for the features of others that the rows were part of.")


def _is_open(ledger: "Ledger") -> bool:
    """Whether the last erasure has no entry of its end: it was cut off after the last row and before that."""
    entries = ledger.entries(acts=(Act.ERASURE,))
    return bool(entries) and entries[-1].reason.startswith(BEGUN)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.")
    return name, value


def _lists(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _print_found(console: Console, found: "Erasure", broken: list[str]) -> None:
    table = Table("where", "rows or entities", title="Stored about this entity", title_justify="left")
    table.columns[1].justify = "right"
    for name, item in found.found.items():
        table.add_row(name, f"{item.rows:,}{' (to be finished)' if item.is_unfinished else ''}")
    for view, keys in found.records.items():
        table.add_row(f"online view {view}", f"{len(keys):,}")
    console.print(table)
    for text, names in {
        "No column for it, so not looked at (--alias names one)": found.unnamed,
        "Not kept by Larder, so not looked at": found.others,
        "Raw files that the rows came from, left alone": [
            f"{name} ({n:,})" for name, n in sorted(found.raw_files.items())
        ],
        "Cannot be rebuilt afterwards, for the old versions go": broken,
    }.items():
        if names:
            listed = ", ".join(names) if len(names) <= NAMES_IN_A_LINE else "".join(f"\n  {name}" for name in names)
            console.print(f"{text}: {listed}", highlight=False, markup=False)
    if not found.is_due:
        console.print("There is nothing to erase.")
