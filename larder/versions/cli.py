"""`larder data`."""

from datetime import timedelta

import click
from rich.console import Console
from rich.markup import escape

from larder.contracts.errors import ConfigurationError, MissingTableError
from larder.contracts.settings import Settings
from larder.versions.lock_file import LOCK_FILE, read_lock_file, write_lock_file
from larder.versions.pins import place_of


@click.group(context_settings={"max_content_width": 110})
def data() -> None:
    """Versions of the Delta tables, kept in git as data.lock.

    TABLE is a name below the lake (silver/orders), or the table's folder or URI. Without one, commands take every
    table of the lake, which must then be a folder.

    \b
    larder data pin && git commit data.lock     remember the tables as they are
    larder data diff                            what came since
    git checkout REVISION data.lock && larder data checkout
                                                let training read them as they were
    larder data checkout --latest               and the newest again
    """


@data.command()
@click.argument("tables", metavar="[TABLE[@VERSION]]...", nargs=-1)
@click.pass_obj
def pin(settings: Settings, tables: tuple[str, ...]) -> None:
    """Write the versions that tables have now into data.lock.

    Named tables are added to those that data.lock pins already, or moved there; without names it is written anew for
    the whole lake. No table is touched.
    """
    from larder.offline.tables.delta_table import open_table
    from larder.versions.commits import commits
    from larder.versions.report import print_pins
    from larder.versions.sides import table_version
    from larder.versions.snapshot import snapshot

    path = settings.home / LOCK_FILE
    asked = [table_version(text) for text in tables or _all_tables(settings)]
    pins = read_lock_file(path) if tables and path.is_file() else {}
    for item in asked:
        place = place_of(item.table, settings.lake)
        table = open_table(place, item.version)
        pins[item.table] = snapshot(table, commits(place))
    write_lock_file(path, pins)
    print_pins(Console(), pins, title=f"Pinned in {path}")


@data.command()
@click.argument("before", metavar="[A]", default=LOCK_FILE)
@click.argument("after", metavar="[B]", default="current")
@click.pass_obj
def diff(settings: Settings, before: str, after: str) -> None:
    """Show what changed from A (data.lock) to B (the tables as they are): rows, schema, range and nulls of columns.

    A and B are each a pin file, a git revision (its data.lock is meant), <table>@<version>, or `current`. All comes
    from the tables' logs; no data is read. Texts are compared as far as Delta's statistics keep them.
    """
    from larder.versions.difference import between
    from larder.versions.report import print_difference
    from larder.versions.sides import sides

    console = Console(soft_wrap=True)
    old, new = sides(settings, before, after)
    same = 0
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            console.print(f"[bold]{name}[/]  only in {before if name in old else after}", highlight=False)
            continue
        try:
            found = between(place_of(name, settings.lake), old[name], new[name])
        except MissingTableError as problem:
            console.print(f"[bold]{name}[/]  {escape(str(problem))}", highlight=False, style="red")
            continue
        if found is None:
            same += 1
        else:
            print_difference(console, name, found)
    console.print(f"{same} tables are at the same version.", highlight=False)


@data.command()
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option("--latest", is_flag=True, help="Read the latest versions again.")
@click.pass_obj
def checkout(settings: Settings, tables: tuple[str, ...], latest: bool) -> None:
    """Let training and every other retrieval read the versions that data.lock pins.

    From then on, `larder train`, Feast's historical retrievals and the label tables see these versions, in every
    process that uses this state folder, until --latest. Tables that data.lock does not name are read as they are.
    The tables themselves are not touched: nothing is copied, restored or rewritten, and `larder ingest`,
    `larder features` and serving go on with the newest. A DeltaSource with a version or timestamp keeps it.

    Refused when a pinned version lacks files, or when the table is another one than was pinned.
    """
    from larder.versions.checkout import check_out, release
    from larder.versions.report import print_pins

    console = Console()
    if latest:
        released = release(settings, tables)
        console.print(f"{len(released)} tables are read at their latest version again.", highlight=False)
        return
    path = settings.home / LOCK_FILE
    pins = read_lock_file(path)
    unknown = sorted(set(tables) - set(pins))
    if unknown:
        raise ConfigurationError(f"{path} does not pin {unknown}; it pins {sorted(pins)}. See `larder data pin`.")
    chosen = {name: pin for name, pin in pins.items() if not tables or name in tables}
    check_out(settings, chosen)
    print_pins(console, chosen, title="Retrievals now read")


@data.command()
@click.argument("table")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of versions to show.")
@click.pass_obj
def log(settings: Settings, table: str, limit: int) -> None:
    """List a table's versions, the newest first, with what each did, its rows, and who pins it."""
    from larder.offline.tables.delta_table import open_table
    from larder.versions.commits import commits
    from larder.versions.report import print_log
    from larder.versions.snapshot import row_count
    from larder.versions.vacuum import holders

    place = place_of(table, settings.lake)
    open_table(place)
    newest = commits(place)[::-1][:limit]
    rows: list[int | None] = []
    for commit in newest:
        try:
            rows.append(row_count(open_table(place, commit.version)))
        except MissingTableError:  # a commit whose checkpoint is gone
            rows.append(None)
    held, _ = holders(settings)
    print_log(Console(), list(zip(newest, rows, strict=True)), held.get(place, {}))


@data.command()
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option(
    "--retention-hours",
    type=click.IntRange(0),
    help="Keep what left a table less than this ago; by default "
    "what the table says (delta.deletedFileRetentionDuration), else a week. Fewer break whoever reads or writes now.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@click.pass_obj
def vacuum(settings: Settings, tables: tuple[str, ...], retention_hours: int | None, dry_run: bool) -> None:
    """Delete data files that no version needs which is latest, recent or pinned.

    Pinned are the versions in data.lock, those checked out, and those that a registered model version was trained
    on. Run it while nothing writes to the tables: on a plain file system, Spark and this command do not see one
    another. Other tools' VACUUM knows no pins.
    """
    from larder.versions.report import print_vacuum
    from larder.versions.vacuum import holders, planned
    from larder.versions.vacuum import vacuum as vacuumed

    console = Console(soft_wrap=True)
    held, unknown = holders(settings)
    for model in unknown:
        console.print(f"[yellow]The run of model {model} is gone from MLflow, so nothing is kept for it.[/]")
    step = planned if dry_run else vacuumed
    verb = "would be deleted" if dry_run else "deleted"
    for name in tables or _all_tables(settings):
        place = place_of(name, settings.lake)
        print_vacuum(console, name, step(place, held.get(place, {}), retention_hours=retention_hours), verb=verb)


@data.command()
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option("--days", type=click.IntRange(1), required=True, help="How long a row is kept, by the clock.")
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@click.pass_obj
def expire(settings: Settings, tables: tuple[str, ...], days: int, dry_run: bool) -> None:
    """Delete logged answers, refused rows and findings of monitors that are older than so many days.

    Without TABLE those below predictions, quarantine and monitoring; a table of Feast's feature logging may be named,
    too. Features and training sets are made of all others. Files of older versions, which hold such rows as well, go
    by the rules of `larder data vacuum`: when nothing pins them and they left the table a week ago. So run it every
    day. The ledger keeps what went.
    """
    from larder.ledger import Act, ledger_of
    from larder.lock import only_one_ingestion
    from larder.versions.expiry import expire as expired
    from larder.versions.expiry import expiring, to_expire
    from larder.versions.report import print_expired
    from larder.versions.vacuum import holders

    console = Console(soft_wrap=True)
    now = settings.clock()
    until = now - timedelta(days=days)
    ledger = ledger_of(settings)
    ledger.require_writable()
    with only_one_ingestion(settings.state):  # which writes to quarantine, too
        held, _ = holders(settings)
        for name in tables or expiring(_all_tables(settings), settings.lake):
            place = place_of(name, settings.lake)
            step = to_expire if dry_run else expired
            done = step(place, until, held.get(place, {}), lake=settings.lake)
            print_expired(console, name, done, verb="would be deleted" if dry_run else "deleted")
            if done.rows and not dry_run:
                reason, outcome = f"Older than {days} days.", {"rows": done.rows, "until": until}
                ledger.append(Act.EXPIRY, name, at=now, reason=reason, outcome=outcome)


def _all_tables(settings: Settings) -> list[str]:
    from larder.versions.snapshot import table_names

    return table_names(settings.lake)
