"""The report as one HTML file: no script, nothing loaded from elsewhere, light and dark, every value escaped."""

from larder.contracts.objective import CLASSIFICATION, TITLES
from monitoring.reports import formats, wording
from monitoring.reports.examples import example
from monitoring.reports.plots import bar, calibration_plot, roc_plot
from monitoring.reports.run_report import RunReport, Slice
from monitoring.reports.templates import template

TEMPLATE = "page.html"
MOST_IMPORTANT = 12
MOST_SLICE_VALUES = 8


def page(report: RunReport, *, address: str) -> str:
    """The page's HTML; `address` is the server's `http://host:port`."""
    importance = sorted(report.curves.importance, key=lambda item: -item.value)
    return template(TEMPLATE).render(
        report=report,
        wording=wording,
        formats=formats,
        bar=bar,
        titles=TITLES,
        is_share=report.task.name == CLASSIFICATION,
        roc=roc_plot(report.curves.roc, roc_auc=formats.number(report.roc_auc)) if report.curves.roc else "",
        calibration=calibration_plot(report.curves.calibration, report.task.name),
        importance=importance[:MOST_IMPORTANT],
        unlisted=len(importance[MOST_IMPORTANT:]),
        examples=[example(answer, importance) for answer in report.answers],
        slices=_slices(report),
        total_seconds=sum(report.seconds.values()),
        slowest=max(report.seconds.values(), default=0.0),
        next_steps=wording.next_steps(report, address=address),
    )


def _slices(report: RunReport) -> dict[str, list[Slice]]:
    """Column -> its values with most rows, in the order of the train result."""
    columns: dict[str, list[Slice]] = {}
    for item in report.slices:
        columns.setdefault(item.slice, []).append(item)
    return {
        column: sorted(values, key=lambda item: -item.rows)[:MOST_SLICE_VALUES] for column, values in columns.items()
    }
