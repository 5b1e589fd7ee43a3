"""`larder leakage`."""

import click

from larder.contracts.errors import ConfigurationError, LeakageError
from larder.contracts.objective import Objective
from larder.contracts.reports import write_report
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, use_case_name

NOTHING_JUDGED = "[yellow]No feature can be judged: say with --known since when the rows of a source could be read.[/]"


@click.command()
@click.argument("service", required=False)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=20_000,
    show_default=True,
    help="Labels to look at, spread over time; 0 for all.",
)
@click.option("--seed", default=0, show_default=True, help="Draws the labels.")
@click.option(
    "--known",
    metavar="SOURCE=COLUMN",
    multiple=True,
    help="Column with the instant from which a row could be read, where the source names none or another.",
)
@click.option("--model", "with_model", is_flag=True, help="Also train the model and judge it on what was known.")
@click.option("--all", "is_long", is_flag=True, help="List all features, the clean ones as well.")
@click.pass_obj
def leakage(
    settings: Settings,
    service: str | None,
    rows: int,
    seed: int,
    known: tuple[str, ...],
    with_model: bool,
    is_long: bool,
) -> None:
    """Find features of SERVICE that look better in training than they can be served.

    Joins labels with features three ways: by event time, as the training set does, and by what was known at each
    label's instant. SERVICE is by default the use case's. Exit code 2 when a feature leaks.

    \b
    Verdicts:  leak         training has values that were not known yet, and they predict better
               differs      training has other values than were known, but no better ones
               clean        training has what was known
               cannot tell  nothing says when the values became known
    """
    import time

    from rich.console import Console

    from larder.leakage.compare import Limits, Verdict
    from larder.registry import feature_store
    from training.data.training_set import training_set
    from training.leakage.comparison import feature_leakages, model_leakage, sampled_columns
    from training.leakage.report import leakage_content, print_features, print_model

    console, limits, started = Console(), Limits(), time.monotonic()
    objective, service = declared("training", Objective, settings), service or use_case_name(settings)
    store, columns = feature_store(settings), _known_columns(known)
    with console.status("Joining labels with features by event time and by known time"):
        sample = sampled_columns(store, settings, objective, service=service, rows=rows, seed=seed, known=columns)
    features = feature_leakages(sample, limits)
    model = None
    if with_model:
        with console.status("Training on the training set, judging on what was known"):
            data = training_set(store, settings, objective, service=service)
            model = model_leakage(sample, data, objective, limits)
    print_features(console, service, sample, features, is_long=is_long)
    if model is not None:
        print_model(console, model, limits)
    seconds = round(time.monotonic() - started, 2)
    write_report(
        settings, "leakage", leakage_content(service, seed, sample, features, model, limits) | {"seconds": seconds}
    )
    leaking = [item.feature for item in features if item.verdict == Verdict.LEAK]
    if leaking or (model is not None and model.is_flagged):
        raise LeakageError(_accusation(service, leaking))
    judged = sum(item.verdict != Verdict.UNKNOWN for item in features)
    said = f"[green]None of the {judged} features that can be judged leaks.[/]" if judged else NOTHING_JUDGED
    console.print(said, highlight=False)


def _known_columns(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    wrong = [item for item, (source, _, column) in zip(given, pairs, strict=True) if not source or not column]
    if wrong:
        raise ConfigurationError(f"--known {wrong[0]!r} is no SOURCE=COLUMN; write it like --known orders=shipped_at.")
    return {source: column for source, _, column in pairs}


def _accusation(service: str, leaking: list[str]) -> str:
    if not leaking:
        return (
            f"The model of {service!r} looks better than it serves, though no feature does so alone: those that differ "
            "leak together. Make their views' timestamp_field the instant from which a value is known."
        )
    named = ", ".join(leaking[:5]) + (f" and {len(leaking) - 5} more" if len(leaking) > 5 else "")
    count = "1 feature looks" if len(leaking) == 1 else f"{len(leaking)} features look"
    return (
        f"{count} better in training than {service!r} can serve: {named}. "
        "Make the timestamp_field of their views the instant from which a value is known, or set "
        "known_time_cutoff=True on a source without windows."
    )
