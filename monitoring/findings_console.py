"""Findings for the terminal: what alarms, what cannot be told, and what is quiet in a line per monitor."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from larder.contracts.monitoring import Finding, Verdict
from monitoring.formats import number

_ORDER = (Verdict.ALARM, Verdict.UNKNOWN, Verdict.OK)
_STYLES = {Verdict.ALARM: "bold red", Verdict.UNKNOWN: "yellow", Verdict.OK: "green"}
MOST_NAMED = 4


def print_findings(console: Console, findings: Sequence[Finding], *, title: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Monitor", "Subject", "Metric"):
        table.add_column(name)
    for name in ("Value", "Limit"):
        table.add_column(name, justify="right")
    table.add_column("Verdict")
    table.add_column("Evidence", ratio=1)
    monitors = list(dict.fromkeys(item.monitor for item in _worst_first(findings)))
    for monitor in monitors:
        own = [item for item in _worst_first(findings) if item.monitor == monitor]
        for item in own:
            if item.verdict is not Verdict.OK:
                table.add_row(*_row(item))
        if quiet := [item for item in own if item.verdict is Verdict.OK]:
            table.add_row(*_summary(monitor, quiet))
        table.add_section()
    console.print(table)


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda item: _ORDER.index(item.verdict))


def _row(item: Finding) -> Iterator[Text]:
    for text in (item.monitor, item.subject, item.metric, number(item.value), number(item.limit)):
        yield Text(text)
    yield Text(item.verdict, _STYLES[item.verdict])
    yield Text(item.evidence)


def _summary(monitor: str, quiet: Sequence[Finding]) -> Iterator[Text]:
    subjects = list(dict.fromkeys(item.subject for item in quiet))
    more = f" and {len(subjects) - MOST_NAMED} more" if len(subjects) > MOST_NAMED else ""
    metrics = dict.fromkeys(item.metric for item in quiet)
    yield from (Text(monitor), Text(", ".join(subjects[:MOST_NAMED]) + more, "dim"), Text(", ".join(metrics), "dim"))
    yield from (Text(""), Text(""), Text(Verdict.OK, _STYLES[Verdict.OK]))
    yield Text(f"{len(quiet)} findings within their limits or without one", "dim")
