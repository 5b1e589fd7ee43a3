"""What `larder data` prints."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table

from larder.versions.commits import Commit, RowChange
from larder.versions.difference import Changed, TableDifference
from larder.versions.expiry import Expired
from larder.versions.lock_file import PinnedTable
from larder.versions.vacuum import Kept, Vacuumed

SHOWN = 3
"""Holders of a version that are named; the others are counted."""


def print_pins(console: Console, pins: Mapping[str, PinnedTable], *, title: str) -> None:
    table = _table("table", "version", "rows", "MB", "committed at", title=title)
    for column in table.columns[1:4]:
        column.justify = "right"
    for name, pin in sorted(pins.items()):
        table.add_row(name, str(pin.version), _number(pin.rows), f"{pin.bytes / 1e6:,.1f}", _minute(pin.committed_at))
    console.print(table)


def print_difference(console: Console, name: str, found: TableDifference) -> None:
    """A block for the table; one line where only the version moved."""
    before, after = found.before, found.after
    moved = f"version {before.version} -> {after.version}"
    if found.is_same:
        console.print(f"[bold]{name}[/]  {moved}, same rows and columns", highlight=False)
        return
    console.print(f"[bold]{name}[/]  {moved}", highlight=False)
    console.print(f"  rows    {_number(before.rows)} -> {_number(after.rows)}{_came_and_went(found)}", highlight=False)
    for change in found.schema:
        console.print(f"  schema  {_change_of_type(change)}", highlight=False, markup=False)
    for change in found.statistics:
        text = f"  column  {change.column}: {change.before} -> {change.after}"
        console.print(text, highlight=False, markup=False)


def print_log(console: Console, log: Sequence[tuple[Commit, int | None]], held: Mapping[int, Sequence[str]]) -> None:
    """Versions with the rows that each holds, the newest first, beside who pins them."""
    table = _table("version", "committed at", "operation", "change", "rows", "pinned by")
    for column in (table.columns[0], table.columns[4]):
        column.justify = "right"
    for commit, rows in log:
        at, by = _minute(commit.committed_at), _several(held.get(commit.version, ()))
        table.add_row(str(commit.version), at, commit.operation, _signed(commit.change), _number(rows), by)
    console.print(table)


def print_expired(console: Console, name: str, done: Expired, *, verb: str) -> None:
    console.print(f"[bold]{name}[/]  {done.rows:,} rows {verb}", highlight=False)
    print_vacuum(console, name, done.vacuumed, verb=f"of older versions {verb}")


def print_vacuum(console: Console, name: str, done: Vacuumed, *, verb: str) -> None:
    console.print(f"[bold]{name}[/]  {len(done.deleted):,} data files {verb}", highlight=False)
    for kept in done.kept:
        console.print(f"  {_held(kept)}", highlight=False, markup=False, style="red" if kept.trouble else None)


def _table(*columns: str, title: str | None = None) -> Table:
    """Narrow, so that it fits into 80 columns."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column == "committed at")
    return table


def _several(names: Sequence[str]) -> str:
    """A project may have registered hundreds of models."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _held(kept: Kept) -> str:
    by = _several(kept.holders)
    if kept.trouble:
        return f"version {kept.version}, needed by {by}, is lost already: {kept.trouble}"
    return f"version {kept.version} kept for {by}"


def _came_and_went(found: TableDifference) -> str:
    if found.rows is None:
        return ""
    at_most = "" if found.is_exact else "at most "
    return f"  ({at_most}{found.rows.added:,} added, {at_most}{found.rows.removed:,} removed)"


def _change_of_type(change: Changed) -> str:
    if change.before is None:
        return f"+ {change.column} {change.after}"
    if change.after is None:
        return f"- {change.column} {change.before}"
    return f"  {change.column} {change.before} -> {change.after}"


def _signed(change: RowChange | None) -> str:
    if change is None:
        return "not stated"
    parts = [f"+{change.added:,}"] if change.added else []
    parts += [f"-{change.removed:,}"] if change.removed else []
    return " ".join(parts)


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}Z"


def _number(value: int | None) -> str:
    return "not counted" if value is None else f"{value:,}"
