"""`larder train`, `larder promote` and `larder training-set`."""

from pathlib import Path

import click

from larder.contracts.monitoring import Monitoring
from larder.contracts.objective import Objective
from larder.contracts.reports import write_report
from larder.contracts.retraining import Retraining, require_fitting
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, declared_or, use_case_name


@click.command()
@click.pass_obj
def train(settings: Settings) -> None:
    """Train a challenger on all labels that were mature at the split and judge it on those after that are mature now.

    Features come as they were known at each label's instant. The model, its metrics, plots and origin are
    logged in MLflow; gates are shown here and decided by `larder promote`.
    """
    import time

    from rich.console import Console

    from larder.ledger import ledger_of
    from larder.registry import feature_store
    from training.data.training_set import training_set
    from training.ledger_entries import evaluation_entry, record_unrecorded, training_entry
    from training.report import print_gates, print_metrics, train_report
    from training.training_run import train as train_challenger

    console, model = Console(), use_case_name(settings)
    objective, ledger = declared("training", Objective, settings), ledger_of(settings)
    require_fitting(declared_or("training", Retraining(), settings), objective)
    ledger.require_writable()
    record_unrecorded(ledger, settings, model, at=settings.clock())
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
        limits = declared_or("training", Monitoring(), settings)
        run = train_challenger(settings, objective, data, model=model, limits=limits)
    training_entry(ledger, run, data, at=settings.clock(), reason="Asked for with `larder train`.")
    evaluation_entry(ledger, run, at=settings.clock(), reason="Newly trained.")
    print_metrics(console, objective, run.evaluation)
    print_gates(console, run.gates)
    write_report(settings, "train", train_report(objective, data, run, use_case=model, training_set_seconds=seconds))
    console.print(f"[bold]{model}[/] version {run.version.number} is the challenger. Next: larder promote")


@click.command()
@click.option("--version", "number", help="Registered version to promote; by default the challenger.")
@click.option("--reason", default="promoted by hand", show_default=True, help="Why, for the ledger.")
@click.pass_obj
def promote(settings: Settings, number: str | None, reason: str) -> None:
    """Make the challenger the champion that serves, if it passes every gate.

    The gates, of a retrained version those of the retraining, are checked again, against today's champion. Exits with 2
    when one fails; the champion stays. A release that is under way ends: a person has decided.
    """
    from rich.console import Console

    from larder.ledger import ledger_of
    from larder.registry import feature_store
    from training.data.training_set import training_data
    from training.ledger_entries import judged_as_trained, record_unrecorded
    from training.models.tracking import challenger_number
    from training.promotion import candidate
    from training.release.begin import promote as promote_candidate
    from training.release.settle import settle
    from training.report import print_gates, promote_report

    console, model, ledger = Console(), use_case_name(settings), ledger_of(settings)
    objective = declared("training", Objective, settings)
    policy = declared_or("training", Retraining(), settings)
    release = policy.release
    settle(settings, model, ledger)
    record_unrecorded(ledger, settings, model, at=settings.clock())
    number = number or challenger_number(settings, model)
    objective = judged_as_trained(objective, policy, ledger, model=model, version=number)
    store = feature_store(settings)
    with console.status("Checking the gates"):
        chosen = candidate(
            settings,
            objective,
            release,
            model=model,
            number=number,
            training_data=training_data(store, settings, service=model),
        )
    print_gates(console, chosen.gates)
    with console.status("Writing the bundle"):
        done = promote_candidate(store, settings, objective, release, chosen, ledger=ledger, reason=reason)
    write_report(settings, "promote", promote_report(done))
    compared = f"equal to scikit-learn within {done.export.max_difference:.1g} on {done.export.rows:,} rows"
    console.print(f"Runtime: {done.export.runtime}, {done.export.reason or compared}", highlight=False, markup=False)
    console.print(f"[bold]{model}[/] version {done.version.number} is the champion. Next: larder serve")


@click.group("training-set")
def training_set_group() -> None:
    """The rows that a model was trained and tested on."""


@training_set_group.command("rebuild")
@click.argument("run", metavar="RUN")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the rows to this Parquet file.")
@click.pass_obj
def rebuild(settings: Settings, run: str, output: Path | None) -> None:
    """Build a run's training set again and compare its hash with the one logged.

    RUN is an MLflow run id, <model>/<version> or <model>@<alias>. Tables are read at the versions that the run
    logged, labels as they were known at its instant, whatever was written since. Exit code 2 when the rows differ.
    """
    from rich.console import Console

    from larder.contracts.errors import DifferenceError
    from larder.registry import feature_store
    from training.data.rebuild import rebuild as rebuilt
    from training.data.rebuild import write_rows
    from training.data.training_set import training_data
    from training.models.tracking import load_record

    console = Console(soft_wrap=True)
    record = load_record(settings, run)
    with console.status("Joining labels with the features known at their instant"):
        done = rebuilt(record, training_data(feature_store(settings), settings, service=record.lineage.service))
    for table, version in sorted(record.lineage.tables.items()):
        console.print(f"  {table} version {version}", highlight=False)
    console.print(f"{done.data.train.num_rows:,} training and {done.data.test.num_rows:,} test rows", highlight=False)
    console.print(f"logged   {record.lineage.data_hash}", highlight=False)
    console.print(f"rebuilt  {done.data.lineage.data_hash}", highlight=False)
    if output is not None:
        write_rows(done.data, output)
        console.print(f"Rows in {output}", highlight=False, markup=False)
    if not done.is_identical:
        commit = (record.lineage.commit or "").removesuffix("-dirty")
        remedy = f" Check out {commit[:12]}, apply its definitions and rebuild there." if commit else ""
        causes = "; ".join(done.causes)
        raise DifferenceError(
            f"The rebuilt training set of {run} is not the one logged. Probable cause: {causes}.{remedy}"
        )
    console.print(f"[green]The training set of {run} is identical.[/]", highlight=False)
