"""`larder train` and `larder promote`."""

import click

from larder.contracts.objective import Objective
from larder.contracts.reports import write_report
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, use_case_name


@click.command()
@click.pass_obj
def train(settings: Settings) -> None:
    """Train a challenger on all labels known before the split and judge it on those after.

    Features come as they were known at each label's instant. The model, its metrics, plots and origin are
    logged in MLflow; gates are shown here and decided by `larder promote`.
    """
    import time

    from rich.console import Console

    from larder.registry import feature_store
    from training.report import print_gates, print_metrics, train_report
    from training.training_run import train as train_challenger
    from training.training_set import training_set

    console, model = Console(), use_case_name(settings)
    objective = declared("training", Objective, settings)
    started = time.monotonic()
    with console.status("Joining labels with the features known at their instant"):
        data = training_set(feature_store(settings), settings, objective, service=model)
    seconds = time.monotonic() - started
    console.print(
        f"Training set: {data.train.num_rows:,} rows to learn from, {data.test.num_rows:,} to be judged on, "
        f"{len(data.columns.names)} features, {seconds:.1f} s",
        highlight=False,
    )
    with console.status("Fitting and judging"):
        run = train_challenger(settings, objective, data, model=model)
    print_metrics(console, objective, run.evaluation)
    print_gates(console, run.gates)
    write_report(settings, "train", train_report(objective, data, run, use_case=model, training_set_seconds=seconds))
    console.print(f"[bold]{model}[/] version {run.version.number} is the challenger. Next: larder promote")


@click.command()
@click.option("--version", "number", help="Registered version to promote; by default the challenger.")
@click.pass_obj
def promote(settings: Settings, number: str | None) -> None:
    """Make the challenger the champion that serves, if it passes every gate.

    The gates are checked again, against today's champion. Exits with 2 when one fails; the champion stays.
    """
    from rich.console import Console

    from larder.registry import feature_store
    from training.promotion import candidate
    from training.promotion import promote as promote_candidate
    from training.report import print_gates, promote_report

    console, model = Console(), use_case_name(settings)
    objective = declared("training", Objective, settings)
    with console.status("Checking the gates"):
        chosen = candidate(settings, objective, model=model, number=number)
    print_gates(console, chosen.gates)
    with console.status("Writing the bundle"):
        done = promote_candidate(feature_store(settings), settings, objective, chosen)
    write_report(settings, "promote", promote_report(done))
    compared = f"equal to scikit-learn within {done.export.max_difference:.1g} on {done.export.rows:,} rows"
    console.print(f"Runtime: {done.export.runtime}, {done.export.reason or compared}", highlight=False)
    console.print(f"[bold]{model}[/] version {done.version.number} is the champion. Next: larder serve")
