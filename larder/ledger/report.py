"""What a person sees of the ledger."""

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from larder.ledger.entry import Entry


def print_entries(console: Console, entries: Sequence[Entry]) -> None:
    """One row per entry, in order."""
    if not entries:
        console.print("The ledger has no such entry.")
        return
    table = Table(title="Decision ledger", title_justify="left")
    table.add_column("no.", justify="right")
    table.add_column("at (UTC)", no_wrap=True)
    for heading in ("act", "subject", "who", "why"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        told = (entry.act, entry.subject, entry.actor, entry.reason)
        table.add_row(str(entry.number), f"{entry.at:%Y-%m-%d %H:%M:%S}", *map(Text, told))
    console.print(table)


def print_entry(console: Console, entry: Entry) -> None:
    """One entry with everything that it holds."""
    lines = {
        "Entry": f"{entry.number}, {entry.act} of {entry.subject}",
        "At": f"{entry.at:%Y-%m-%d %H:%M:%S.%f} UTC",
        "Who": entry.actor,
        "Why": entry.reason,
        "Inputs": _indented(entry.inputs),
        "Outcome": _indented(entry.outcome),
        "Previous": entry.previous,
        "Hash": entry.hash,
    }
    for name, text in lines.items():
        console.print(f"{name:<9} {text}", markup=False, highlight=False)


def _indented(content: dict[str, object]) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode().replace("\n", "\n" + " " * 10)
