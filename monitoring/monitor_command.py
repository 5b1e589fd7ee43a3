"""`larder monitor`: all monitors, once; the exit code is the verdict."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from larder.contracts.clock import parsed_instant
from larder.contracts.monitoring import Finding, Monitoring, Verdict
from larder.contracts.objective import Objective
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, declared_or, use_case_name

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES = {Verdict.OK: 0, Verdict.ALARM: 2, Verdict.UNKNOWN: 3}


@click.command()
@click.option("--at", metavar="INSTANT", help="Look at the system as of this instant (ISO 8601) instead of now.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write the page with plots there.")
@click.pass_obj
def monitor(settings: Settings, at: str | None, as_json: bool, html: Path | None) -> None:
    """Run all monitors and record what they find in the monitoring table and the ledger.

    What holds now is also written for Prometheus; docs/monitoring.md shows how to scrape it.

    \b
    Exit code: 0  nothing alarms
               2  something alarms
               3  nothing alarms, but something cannot be told
    """
    from rich.console import Console

    from larder.ledger import ledger_of
    from monitoring.live import live_findings
    from monitoring.prometheus import write_metrics
    from monitoring.reports.findings_console import print_findings
    from monitoring.reports.monitoring_page import write_monitoring_page
    from monitoring.run import record, verdicts_in_words

    if at is not None:
        settings = replace(settings, replay_at=parsed_instant(at, name="--at"))
    model, now, ledger = use_case_name(settings), settings.clock(), ledger_of(settings)
    ledger.require_writable()
    objective = declared("training", Objective, settings)
    limits = declared_or("training", Monitoring(), settings)
    with Console(stderr=True).status("Monitoring"):
        findings = live_findings(settings, objective, limits, model=model, now=now)
    record(settings, model, findings, ledger)
    if at is None:
        write_metrics(settings, findings)
    if html is not None:
        write_monitoring_page(settings, model, objective, now, path=html)
    if as_json:
        click.echo(_as_json(findings))
    else:
        title = f"{model} on {now:%Y-%m-%d %H:%M} UTC: {verdicts_in_words(findings)}"
        print_findings(Console(), findings, title=title)
    sys.exit(EXIT_CODES[worst(findings)])


def worst(findings: "Sequence[Finding]") -> Verdict:
    """An alarm outweighs what cannot be told, which outweighs what is well."""
    verdicts = {item.verdict for item in findings}
    return next((verdict for verdict in (Verdict.ALARM, Verdict.UNKNOWN) if verdict in verdicts), Verdict.OK)


def _as_json(findings: "Sequence[Finding]") -> str:
    import msgspec

    return msgspec.json.encode([asdict(item) for item in findings]).decode()
