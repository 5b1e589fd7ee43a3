"""Findings for the terminal: what alarms, what cannot be told, and what is quiet in a line per monitor."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from larder.contracts.monitoring import Finding, Verdict
from monitoring.reports.formats import number

_ORDER = (Verdict.ALARM, Verdict.UNKNOWN, Verdict.OK)
_MARKS = {
    Verdict.ALARM: Text("✗ alarm", "bold red"),
    Verdict.UNKNOWN: Text("? cannot tell", "yellow"),
    Verdict.OK: Text("✓ ok", "green"),
}
MOST_NAMED = 4


def print_findings(console: Console, findings: Sequence[Finding], *, title: str) -> None:
    """What is not well has a line of its own; the monitors with alarms come first."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Monitor", no_wrap=True)
    table.add_column("Subject and metric", overflow="fold", min_width=20)
    table.add_column("Evidence", ratio=1)
    ordered = sorted(findings, key=lambda item: _ORDER.index(item.verdict))
    for monitor in dict.fromkeys(item.monitor for item in ordered):
        own = [item for item in ordered if item.monitor == monitor]
        for item in own:
            if item.verdict is not Verdict.OK:
                table.add_row(*_row(item))
        if quiet := [item for item in own if item.verdict is Verdict.OK]:
            table.add_row(*_summary(monitor, quiet))
        table.add_section()
    console.print(table)


def _row(item: Finding) -> Iterator[Text]:
    compared = f" {number(item.value)}, limit {number(item.limit)}" if item.limit is not None else ""
    yield from (_MARKS[item.verdict], Text(item.monitor), Text(f"{item.subject} {item.metric}{compared}"))
    yield Text(item.evidence)


def _summary(monitor: str, quiet: Sequence[Finding]) -> Iterator[Text]:
    subjects = list(dict.fromkeys(item.subject for item in quiet))
    more = f" and {len(subjects) - MOST_NAMED} more" if len(subjects) > MOST_NAMED else ""
    yield from (_MARKS[Verdict.OK], Text(monitor), Text(", ".join(subjects[:MOST_NAMED]) + more, "dim"))
    metrics = ", ".join(dict.fromkeys(item.metric for item in quiet))
    yield Text(f"{metrics}: within their limits, or without one", "dim")
