"""`larder ledger`."""

import sys
from collections.abc import Mapping

import click
from rich.console import Console

from larder.contracts.errors import InvalidDataError
from larder.contracts.settings import Settings
from larder.ledger.entry import GENESIS, Act, encoded
from larder.ledger.file import ledger_of
from larder.ledger.report import print_entries, print_entry

BROKEN = 1
"""Exit code of a ledger that cannot be trusted."""


@click.group()
def ledger() -> None:
    """What was decided and done, by whom, when and why: append-only, each entry sealed by the next."""


@ledger.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.option("--subject", help="Only what was done to this; a model's name takes in its versions.")
@click.option("--act", "acts", type=click.Choice([str(act) for act in Act]), multiple=True, help="Only these acts.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N of them.")
@click.option("--json", "as_lines", is_flag=True, help="One JSON object per line, as it is stored.")
@click.pass_obj
def show(
    settings: Settings, number: int | None, subject: str | None, acts: tuple[str, ...], last: int | None, as_lines: bool
) -> None:
    """List the entries, or show entry NUMBER with what it rests on and what came of it."""
    chosen = ledger_of(settings).entries(subject=subject, acts=tuple(Act(act) for act in acts))
    if number is not None:
        chosen = [entry for entry in chosen if entry.number == number]
        if not chosen:
            raise InvalidDataError(f"The ledger has no entry {number} like that. `larder ledger show` lists them.")
    chosen = chosen[-last:] if last else chosen
    if as_lines:
        for entry in chosen:
            click.echo(encoded(entry))
    elif number is not None:
        print_entry(Console(soft_wrap=True), chosen[0])
    else:
        print_entries(Console(), chosen)


@ledger.command()
@click.pass_obj
def verify(settings: Settings) -> None:
    """Prove that no entry was changed, removed, moved or added behind the ledger's back.

    The chain of hashes, the head beside it, and the champions that MLflow remembers. Exit code 1 when one of them
    does not hold, with the first place where.
    """
    from larder.ledger.anchors import anchor_problem, anchors

    console, kept = Console(stderr=True, soft_wrap=True, highlight=False), ledger_of(settings)
    _require_none(console, kept.problem())
    entries = kept.entries()
    head = entries[-1].hash if entries else GENESIS
    click.echo(f"{len(entries):,} entries, chain holds, head {head}")
    remembered = anchors(settings)
    _require_none(console, anchor_problem(entries, remembered or {}))
    click.echo(_anchors_said(remembered))


def _require_none(console: Console, problem: str | None) -> None:
    if problem is not None:
        console.print(problem, style="red", markup=False)
        sys.exit(BROKEN)


def _anchors_said(remembered: Mapping[str, str] | None) -> str:
    if remembered is None:
        return "Anchors not checked: there is no MLflow database yet."
    if not remembered:
        return "Anchors not checked: MLflow remembers no champion yet."
    return f"Anchors hold: the champions that MLflow remembers of {', '.join(sorted(remembered))} are in the ledger."
