"""`larder leakage`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from larder.contracts.errors import ConfigurationError, LeakageError
from larder.contracts.objective import Objective
from larder.contracts.reports import write_report
from larder.contracts.settings import Settings
from larder.contracts.use_case import declared, use_case_name

if TYPE_CHECKING:
    from rich.console import Console

    from larder.leakage.compare import FeatureLeakage, Limits
    from training.leakage import ModelLeakage, Sample


@click.command()
@click.argument("service", required=False)
@click.option("--rows", default=20_000, show_default=True, help="Labels to look at, spread over time; 0 for all.")
@click.option("--seed", default=0, show_default=True, help="Draws the labels.")
@click.option(
    "--known",
    metavar="SOURCE=COLUMN",
    multiple=True,
    help="Column with the instant from which a row could be read, where the source names none or another.",
)
@click.option("--model", "with_model", is_flag=True, help="Also train the model and judge it on what was known.")
@click.option("--all", "is_long", is_flag=True, help="Print the clean features as well.")
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
    from training.leakage import feature_leakages, model_leakage, sampled_columns
    from training.training_set import training_set

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
    _print_features(console, service, sample, features, is_long=is_long)
    if model is not None:
        _print_model(console, model, limits)
    seconds = round(time.monotonic() - started, 2)
    write_report(settings, "leakage", _content(service, seed, sample, features, model, limits) | {"seconds": seconds})
    leaking = [item.feature for item in features if item.verdict == Verdict.LEAK]
    if leaking or (model is not None and model.is_flagged):
        raise LeakageError(_accusation(service, leaking))
    judged = sum(item.verdict != Verdict.UNKNOWN for item in features)
    console.print(f"[green]None of the {judged} features that can be judged leaks.[/]", highlight=False)


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


def _print_features(
    console: "Console", service: str, sample: "Sample", features: "list[FeatureLeakage]", *, is_long: bool
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from larder.leakage.compare import Verdict

    colours = {Verdict.LEAK: "red", Verdict.UNKNOWN: "yellow", Verdict.DIFFERS: "yellow"}
    title = f"{service} over {sample.rows.num_rows:,} labels: share that differs, ROC-AUC of each alone"
    names = ("differ", "event", "training", "known", "gain")
    table = Table("feature", *names, "verdict", title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
        column.justify = "right" if column.header in names else "left"
    shown = [item for item in features if is_long or item.verdict in (Verdict.LEAK, Verdict.DIFFERS)]
    for item in sorted(shown, key=lambda item: -item.gain.gain):
        table.add_row(item.feature, *_figures(item), item.verdict, style=colours.get(item.verdict))
    if shown:
        console.print(table)
    if sample.left_out:
        console.print(f"{sample.left_out:,} labels lie after what the gold tables hold and were left out.")
    for verdict in Verdict:
        count = sum(item.verdict == verdict for item in features)
        console.print(f"{count:5,} {verdict}", highlight=False, style=colours.get(verdict) if count else None)
    for reason in dict.fromkeys(item.reason for item in features if item.verdict == Verdict.UNKNOWN):
        names = [item.feature for item in features if item.reason == reason]
        named = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        console.print(f"[yellow]Cannot tell {named}:[/] {reason}", highlight=False)


def _figures(item: "FeatureLeakage") -> tuple[str, ...]:
    aucs = (item.auc_event_time, item.auc_training, item.auc_known_time)
    return f"{item.differ_in_training:.1%}", *(f"{auc:.4f}" for auc in aucs), f"{item.gain.gain:+.4f}"


def _print_model(console: "Console", model: "ModelLeakage", limits: "Limits") -> None:
    style = "red" if model.is_flagged else "green"
    console.print(
        f"[{style}]The model looks like ROC-AUC {model.auc_looks_like:.4f} and serves as {model.auc_serves_as:.4f}[/] "
        f"(difference {model.gain.gain:+.4f} ± {limits.deviations * model.gain.error:.4f}, log loss "
        f"{model.log_loss_looks_like:.4f} and {model.log_loss_serves_as:.4f}) on {model.rows:,} test rows.",
        highlight=False,
    )


def _content(
    service: str,
    seed: int,
    sample: "Sample",
    features: "list[FeatureLeakage]",
    model: "ModelLeakage | None",
    limits: "Limits",
) -> dict[str, Any]:
    """The content of `leakage.json`."""
    return {
        "service": service,
        "rows": sample.rows.num_rows,
        "left_out": sample.left_out,
        "seed": seed,
        "limits": asdict(limits),
        "features": [asdict(item) for item in features],
        "model": None if model is None else asdict(model),
    }
