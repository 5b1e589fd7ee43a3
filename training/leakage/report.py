"""What a person, and the reports folder, see of a leakage report."""

from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from larder.contracts.objective import TITLES
from larder.leakage.compare import FeatureLeakage, Limits, Verdict
from training.leakage.comparison import ModelLeakage, Sample

SHOWN = 20
"""Features that are listed unless all are asked for."""


def print_features(
    console: Console, service: str, sample: Sample, features: list[FeatureLeakage], *, is_long: bool
) -> None:
    """The features that look best compared with how they can be served, counts, and why some cannot be judged."""
    colours = {Verdict.LEAK: "red", Verdict.UNKNOWN: "yellow", Verdict.DIFFERS: "yellow"}
    title = f"{service} over {sample.rows.num_rows:,} labels: share that differs, ROC-AUC of each alone"
    names = ("differ", "event", "training", "known", "gain")
    table = Table("feature", *names, "verdict", title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.no_wrap, column.min_width = True, 6
        column.justify = "right" if column.header in names else "left"
    shown = [item for item in features if is_long or item.verdict in (Verdict.LEAK, Verdict.DIFFERS)]
    shown.sort(key=lambda item: -item.gain.gain)
    for item in shown if is_long else shown[:SHOWN]:
        table.add_row(item.feature, *_figures(item), item.verdict, style=colours.get(item.verdict))
    if shown:
        console.print(table)
    if len(shown) > SHOWN and not is_long:
        console.print(f"and {len(shown) - SHOWN} more that leak or differ less; --all shows all.", highlight=False)
    if sample.left_out:
        console.print(f"{sample.left_out:,} labels lie after what the gold tables hold and were left out.")
    for verdict in Verdict:
        count = sum(item.verdict == verdict for item in features)
        console.print(f"{count:5,} {verdict}", highlight=False, style=colours.get(verdict) if count else None)
    for reason in dict.fromkeys(item.reason for item in features if item.verdict == Verdict.UNKNOWN):
        alike = [item.feature for item in features if item.reason == reason]
        named = alike[0] + (f" and {len(alike) - 1} more" if len(alike) > 1 else "")
        console.print(f"[yellow]Cannot tell {named}:[/] {escape(reason)}", highlight=False)


def _figures(item: FeatureLeakage) -> tuple[str, ...]:
    aucs = (item.auc_event_time, item.auc_training, item.auc_known_time)
    return f"{item.differ_in_training:.1%}", *(f"{auc:.4f}" for auc in aucs), f"{item.gain.gain:+.4f}"


def print_model(console: Console, model: ModelLeakage, limits: Limits) -> None:
    style = "red" if model.is_flagged else "green"
    console.print(
        f"[{style}]The model looks like ROC-AUC {model.auc_looks_like:.4f} and serves as {model.auc_serves_as:.4f}[/] "
        f"(difference {model.gain.gain:+.4f} ± {limits.deviations * model.gain.error:.4f}, "
        f"{TITLES[model.loss].lower()} {model.loss_looks_like:.4f} and {model.loss_serves_as:.4f}) "
        f"on {model.rows:,} test rows.",
        highlight=False,
    )


def leakage_content(
    service: str,
    seed: int,
    sample: Sample,
    features: list[FeatureLeakage],
    model: ModelLeakage | None,
    limits: Limits,
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
