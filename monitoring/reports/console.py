"""The report for the terminal."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from larder.contracts.objective import CLASSIFICATION, TITLES
from monitoring.reports import formats, wording
from monitoring.reports.examples import Example, example
from monitoring.reports.run_report import RunReport

MOST_EXAMPLES = 3
_BAR_WIDTH = 24


def print_report(report: RunReport, console: Console, *, address: str, page: str) -> None:
    """Print headline, quality, real rows, verification, times and next steps; missing parts name their command.

    `address` is the server's `http://host:port`, `page` the address of the page with plots.
    """
    is_good = (
        not report.missing
        and not report.failed_gates
        and not (report.verify and (report.verify.different or report.verify.unread))
    )
    title = f"{report.use_case or 'Larder'} · {formats.instant(report.at)}"
    lines = [Text(report.question, "bold")] if report.question else []
    lines += [Text(wording.headline(report)), Text(wording.proof(report))]
    console.print(
        Panel(Group(*lines), title=Text(title), border_style="green" if is_good else "yellow", padding=(1, 2))
    )
    for part in (*_quality(report), *_examples(report), *_verification(report), *_times(report)):
        console.print(part)
    console.print(_next_steps(report, address=address, page=page), soft_wrap=True)


def _quality(report: RunReport) -> Iterator[RenderableType]:
    if "train" in report.missing:
        yield _unfinished(report, "train", "Model quality")
        return
    shown = (report.task.ranking, report.task.loss)
    titles = [f">{TITLES[metric]}" for metric in shown]
    quality = _table("Model quality on rows it never saw", "Model", *titles)
    ours = [_bold(formats.number(report.metrics.get(metric))) for metric in shown]
    quality.add_row(Text("this model", "bold"), *ours)
    for name, scores in report.references.items():
        if scores is not None:
            called = wording.reference_name(report, name)
            quality.add_row(Text(called), *(formats.number(scores.get(metric)) for metric in shown))
    yield quality
    if report.kpi is not None:
        reference = (
            f" ({formats.number(report.kpi.reference)} without a model)" if report.kpi.reference is not None else ""
        )
        yield Text(f"{report.kpi.name}: {formats.number(report.kpi.value)} {report.kpi.unit}{reference}\n")
    gates = _table("Gates", "Gate", ">Value and limit", "Result")
    for gate in report.gates:
        result = Text("✓ passed", "green") if gate.passed else Text("✗ failed", "bold red")
        gates.add_row(Text(gate.name), wording.condition(gate), result)
    yield gates


def _examples(report: RunReport) -> Iterator[RenderableType]:
    if "ask" in report.missing:
        yield _unfinished(report, "ask", "A few real rows")
        return
    is_share = report.task.name == CLASSIFICATION
    predicted = ">Probability" if is_share else ">Prediction"
    rows = _table("A few real rows, asked over HTTP", "Request", predicted, "Outcome", "Features that weigh most")
    for answer in report.answers[:MOST_EXAMPLES]:
        row = example(answer, report.curves.importance)
        rows.add_row(
            Text(formats.request(row.request)),
            formats.percent(row.prediction) if is_share else formats.number(row.prediction),
            formats.outcome(row.outcome) if is_share else formats.measured(row.outcome),
            _features(row),
        )
        rows.add_section()
    yield rows
    if report.is_hindsight:
        yield Text("Asked about instants that had passed: features may know what came of it.\n")


def _features(row: Example) -> Text:
    lines = [
        Text.assemble(
            (f"{feature.name} ", "dim"), (feature.status, "red") if feature.status else formats.number(feature.value)
        )
        for feature in row.features
    ]
    return Text("\n").join(lines)


def _verification(report: RunReport) -> Iterator[RenderableType]:
    if report.verify is None:
        yield _unfinished(report, "verify", "Online against history")
        return
    views = _table("Online values against history", "Feature view", ">Entities", ">Equal", ">Different", ">Stale")
    for view in report.verify.views:
        views.add_row(
            Text(view.view),
            formats.number(view.entities),
            formats.number(sum(check.equal for check in view.features)),
            Text(formats.number(view.different), "bold red" if view.different else "green"),
            formats.number(sum(check.stale for check in view.features)),
        )
    yield views
    for item in wording.differences(report):
        yield Text(f"✗ {item.feature}: {item.count:,} differ{f' ({item.causes})' if item.causes else ''}", "red")


def _times(report: RunReport) -> Iterator[RenderableType]:
    if "run" in report.missing:
        yield _unfinished(report, "run", "Time per step")
        return
    slowest = max(report.seconds.values(), default=0.0)
    title = f"Time per step, {formats.duration(sum(report.seconds.values()))} in all"
    times = _table(title, "Step", "", ">Time", *([">Peak memory"] if report.peak_memory_gb else []))
    for step, seconds in report.seconds.items():
        bar = ProgressBar(
            total=slowest or 1.0, completed=seconds, width=_BAR_WIDTH, complete_style="cyan", finished_style="cyan"
        )
        memory = [formats.gigabytes(report.peak_memory_gb.get(step))] if report.peak_memory_gb else []
        times.add_row(Text(step), bar, formats.duration(seconds), *memory)
    yield times


def _next_steps(report: RunReport, *, address: str, page: str) -> Text:
    plots = wording.NextStep("See the same with plots, in a browser", page)
    steps = [plots, *wording.next_steps(report, address=address)]
    lines = [Text.assemble(f"  {step.purpose}:\n    ", (step.command, "cyan")) for step in steps]
    return Text("\n").join([Text("What to do next", "bold"), *lines])


def _table(title: str, *columns: str) -> Table:
    """A table; a column whose name starts with `>` is aligned right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return table


def _unfinished(report: RunReport, step: str, part: str) -> Text:
    return Text.assemble((f"{part}: ", "bold"), "not known yet; ", (report.missing[step], "cyan"), " fills it.\n")


def _bold(text: str) -> Text:
    return Text(text, "bold")
