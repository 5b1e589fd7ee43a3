"""`larder retrain`: a new model when the declared policy asks for one, or when a person does."""

from functools import partial
from typing import TYPE_CHECKING

import click

from larder.contracts.monitoring import Monitoring
from larder.contracts.objective import Objective
from larder.contracts.retraining import Retraining
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, declared_or, use_case_name

if TYPE_CHECKING:
    from rich.console import Console

    from training.data.labels import LabelSelection
    from training.data.training_set import TrainingSet
    from training.retraining.policy import Decision


@click.command()
@click.option("--if-needed", is_flag=True, help="Only if the declared policy says so; 0 is the exit code either way.")
@click.option("--explain", is_flag=True, help="Say what the policy decides and on what evidence; change nothing.")
@click.pass_obj
def retrain(settings: Settings, if_needed: bool, explain: bool) -> None:
    """Train a challenger on the labels known now, judge it, and let it answer unseen beside the champion.

    The decision, with its reasons, is on record in the ledger, also when it is no. Cut off anywhere, the same command
    goes on where it stopped. Exits with 2 when the challenger fails a gate; the champion stays.
    """
    from rich.console import Console

    from larder.ledger import ledger_of
    from larder.registry import feature_store
    from training.data.training_set import joined
    from training.release.settle import settle
    from training.report import print_gates
    from training.retraining.policy import asked, decide
    from training.retraining.retrain import facts, release_challenger
    from training.retraining.retrain import retrain as retrain_challenger

    console, model, ledger = Console(), use_case_name(settings), ledger_of(settings)
    objective, policy = declared("training", Objective, settings), declared_or("training", Retraining(), settings)
    now = settings.clock()
    if explain:
        known = facts(settings, objective, policy, model=model, now=now, ledger=ledger)
        print_decision(console, decide(policy, known))
        print_evidence(console, decide(policy, known))
        return
    settle(settings, model, ledger)

    def rows(selection: "LabelSelection") -> "TrainingSet":
        # Opened only where a model is due: most calls decide that none is, and need not load Feast.
        return joined(feature_store(settings), settings, selection, service=model)

    with console.status("Deciding, and training if need be"):
        done = retrain_challenger(
            settings,
            objective,
            policy,
            model=model,
            now=now,
            ledger=ledger,
            training_data=rows,
            limits=declared_or("training", Monitoring(), settings),
            rule=decide if if_needed else partial(asked, actor=ledger.actor),
        )
    print_decision(console, done.decision)
    if done.run is None:
        return
    version = done.run.version
    print_gates(console, done.run.gates)
    with console.status("Checking the gates, and writing the bundle"):
        entry = release_challenger(
            feature_store(settings), settings, objective, policy, version, now=now, ledger=ledger, training_data=rows
        )
    console.print(f"{model} version {version.number}: {entry.act}, {entry.reason}", highlight=False, markup=False)


def print_decision(console: "Console", decision: "Decision") -> None:
    """The answer, then every reason and refusal on a line of its own."""
    answer = "A new model is due" if decision.is_due else "No new model is due"
    console.print(f"[bold]{answer}[/]" + (", and refused" if decision.is_due and decision.refusals else ""))
    for reason in decision.reasons:
        console.print(f"  because {reason}", highlight=False, markup=False, soft_wrap=True)
    for refusal in decision.refusals:
        console.print(f"  refused: {refusal}", highlight=False, markup=False, soft_wrap=True)


def print_evidence(console: "Console", decision: "Decision") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("fact", "value", title="Evidence", title_justify="left")
    for name, value in decision.evidence.items():
        text = "\n".join(value) if isinstance(value, list) else "" if value is None else str(value)
        table.add_row(name.replace("_", " "), Text(text))
    console.print(table)
