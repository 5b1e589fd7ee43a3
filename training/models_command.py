"""`larder models`: which version served when, what a person says of one, and what comes next."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from larder.contracts.objective import Objective
from larder.contracts.retraining import Retraining
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, declared_or, use_case_name

if TYPE_CHECKING:
    from training.release.state import ReleaseState


@click.group()
def models() -> None:
    """Versions of the model: which served when, back to an earlier one, on to the next."""


@models.command("history")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
@click.pass_obj
def history_command(settings: Settings, as_json: bool) -> None:
    """Which version served when, to the second (UTC), why, and who decided."""
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from larder.ledger import ledger_of
    from training.release.state import history, release_state

    model, ledger = use_case_name(settings), ledger_of(settings)
    services = history(ledger, model)
    if as_json:
        click.echo(msgspec.json.encode(services).decode())
        return
    table = Table("version", "from", "until", "by", "reason", "who", title=f"{model}, UTC", title_justify="left")
    for service in services:
        until = _second(service.until) if service.until else "now"
        table.add_row(
            service.version, _second(service.since), until, service.act, *map(Text, (service.reason, service.actor))
        )
    console = Console()
    console.print(table if services else f"No version of {model} ever served. Next: larder promote")
    if said := _under_way(release_state(ledger, model)):
        console.print(said, highlight=False)


@models.command("approve")
@click.argument("version")
@click.option("--reason", default="approved", show_default=True, help="Why, for the ledger.")
@click.pass_obj
def approve_command(settings: Settings, version: str, reason: str) -> None:
    """Say that VERSION may serve, where the training file asks for approvals; who trained it cannot.

    It does not serve by that alone: the next `larder release` or `larder promote` decides.
    """
    from larder.ledger import ledger_of
    from training.release.approval import approve

    model = use_case_name(settings)
    entry = approve(settings, model, version, ledger=ledger_of(settings), now=settings.clock(), reason=reason)
    click.echo(f"{entry.actor} approves of {model} version {version} since {_second(entry.at)} UTC: {entry.reason}")


@models.command("reject")
@click.argument("version")
@click.option("--reason", default="rejected by hand", show_default=True, help="Why, for the ledger.")
@click.pass_obj
def reject_command(settings: Settings, version: str, reason: str) -> None:
    """Say that VERSION may not serve: its shadow ends, and approvals that it has count no longer."""
    from larder.ledger import ledger_of
    from training.release.approval import reject

    model = use_case_name(settings)
    entry = reject(settings, model, version, ledger=ledger_of(settings), now=settings.clock(), reason=reason)
    click.echo(f"{model} version {version} is rejected since {_second(entry.at)} UTC: {entry.reason}")


@models.command("sign")
@click.argument("version")
@click.option("--reason", default="signed by hand", show_default=True, help="Why, for the ledger.")
@click.pass_obj
def sign_command(settings: Settings, version: str, reason: str) -> None:
    """Sign the frozen bundle of VERSION with the key that LARDER_SIGNING_KEY names.

    For bundles from before there was a key, or after a change of keys. Make sure where it comes from: servers that
    know the public key will trust it.
    """
    from larder.ledger import ledger_of
    from training.release.signing import sign

    model = use_case_name(settings)
    entry = sign(settings, model, version, ledger=ledger_of(settings), now=settings.clock(), reason=reason)
    click.echo(f"{entry.actor} signed {model} version {version}: {entry.reason}")


@models.command("rollback")
@click.option("--to", metavar="VERSION", help="Version to go back to; by default the one that served before.")
@click.option("--reason", default="rolled back by hand", show_default=True, help="Why, for the ledger.")
@click.pass_obj
def rollback_command(settings: Settings, to: str | None, reason: str) -> None:
    """Let the former champion serve again, at once; a release that is under way ends."""
    from larder.ledger import ledger_of
    from training.release.acts import rollback

    model = use_case_name(settings)
    entry = rollback(settings, model, ledger=ledger_of(settings), now=settings.clock(), reason=reason, to=to)
    click.echo(f"{model} version {entry.version} serves since {_second(entry.at)} UTC: {entry.reason}")


@click.command("release")
@click.pass_obj
def release_command(settings: Settings) -> None:
    """Judge the release under way: promote or reject a challenger, confirm or roll back a promotion, or wait.

    Safe to run at any time and as often as wanted; schedules call it once a day or more.
    """
    from larder.ledger import ledger_of
    from training.release.advance import advance

    model = use_case_name(settings)
    step = advance(
        settings,
        declared("training", Objective, settings),
        declared_or("training", Retraining(), settings).release,
        model=model,
        ledger=ledger_of(settings),
        now=settings.clock(),
    )
    about = f"{model} version {step.version}" if step.version else model
    click.echo(f"{about}: {step.act or 'no change'}. {step.reason}")


@models.command("card")
@click.argument("version", required=False)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the card to this file.")
@click.pass_obj
def card_command(settings: Settings, version: str | None, output: Path | None) -> None:
    """The model card, as Markdown: what it is for, what it learned from, how good it is and for whom, where it stands.

    VERSION is by default the champion, or while nothing serves the challenger.
    """
    from larder.contracts.bundle import champion_version
    from larder.ledger import ledger_of
    from larder.whole_file import write_whole
    from training.models.model_card import model_card
    from training.models.tracking import load_challenger

    model, objective = use_case_name(settings), declared("training", Objective, settings)
    number = version or champion_version(settings.bundles, model)
    challenger = load_challenger(settings, model, number)
    card = model_card(challenger, objective, ledger_of(settings).entries(subject=model))
    if output is None:
        click.echo(card)
        return
    write_whole(output, card.encode())
    click.echo(f"The card of {model} version {challenger.version.number} is {output}")


def _under_way(state: "ReleaseState") -> str:
    from training.release.state import Shadow, Watch

    match state.under_way:
        case Shadow(challenger, _, since):
            return f"Version {challenger} answers unseen since {_second(since)}."
        case Watch(champion, former, _, until):
            watched = f"Version {champion} is watched until {_second(until)}"
            return f"{watched}; version {former} answers unseen, ready to serve again."
    return ""


def _second(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"
