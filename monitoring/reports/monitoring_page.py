"""What the monitors found, as one HTML file like the run's report: no script, nothing loaded from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from larder.contracts.errors import LarderError
from larder.contracts.monitoring import Finding
from larder.contracts.objective import CLASSIFICATION, TITLES, Objective
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.evaluation import Task, calibration_curve, task_of
from larder.findings import read_findings
from larder.ledger import ledger_of
from larder.predictions import LIVE, OUTCOME, judged, read_predictions
from larder.whole_file import write_whole
from monitoring.reports import formats, monitoring_report
from monitoring.reports.monitoring_report import MonitoringReport
from monitoring.reports.monitoring_tables import checks, slices
from monitoring.reports.plots import bar, calibration_plot
from monitoring.reports.run_report import Calibration
from monitoring.reports.templates import template
from monitoring.timeline.axis import time_axis
from monitoring.timeline.plots import MonitoringPlots
from monitoring.timeline.served import Mark, Served, colours, marks, served

TEMPLATE = "monitoring_page.html"
NAME = "monitoring.html"
SHOWN = timedelta(days=92)
"""How far back the written page looks."""
JUDGED = timedelta(days=28)
"""Answers whose calibration it shows."""
MOST_ALARMS, MOST_ACTS = 12, 12


@dataclass(frozen=True)
class Releases:
    """Which version served when, and what was done to versions."""

    served: Sequence[Served] = ()
    acts: Sequence[Mark] = ()


def write_monitoring_page(
    settings: Settings, model: str, objective: Objective, now: datetime, *, path: Path | None = None
) -> Path:
    """Write the page about the last three months to `path`, by default `<state>/monitoring.html`, whole or not at all.

    Reads the monitoring table, the ledger, and the predictions of four weeks with their labels as known at `now`.
    """
    target = path or settings.state / NAME
    lake = Lake(settings.lake)
    entries = ledger_of(settings).entries(subject=model)
    html = monitoring_page(
        read_findings(lake.monitoring(model), since=now - SHOWN, until=now),
        model=model,
        question=objective.question,
        at=now,
        releases=Releases(served(entries), marks(entries)),
        task=task_of(objective),
        answers=_judged(lake, model, objective, now),
    )
    write_whole(target, html.encode())
    return target


def monitoring_page(
    findings: Sequence[Finding],
    *,
    model: str,
    question: str,
    at: datetime,
    task: Task,
    releases: Releases = Releases(),
    answers: pa.Table | None = None,
) -> str:
    """The page's HTML. `answers` are judged predictions (`traffic`, the task's column, `outcome`), for calibration."""
    report = MonitoringReport(findings)
    windows = [(item.window_start, item.window_end) for item in findings]
    plots = MonitoringPlots(report, time_axis(windows), releases.served, releases.acts) if windows else None
    return template(TEMPLATE).render(
        report=report,
        model=model,
        question=question,
        at=at.isoformat(),
        words=monitoring_report,
        formats=formats,
        bar=bar,
        plots=plots,
        served=releases.served,
        colours=colours(releases.served),
        acts=list(reversed(releases.acts))[:MOST_ACTS],
        most_alarms=MOST_ALARMS,
        checks=checks(report),
        slices=slices(report),
        titles=TITLES,
        is_share=task.name == CLASSIFICATION,
        calibration=_calibration(task, answers),
    )


def _judged(lake: Lake, model: str, objective: Objective, now: datetime) -> pa.Table | None:
    columns = ["request", "version", task_of(objective).predicted]
    try:
        answers = read_predictions(lake.predictions(model), since=now - JUDGED, until=now, columns=columns)
        return judged(answers, lake.labels(objective.label.table), objective.label.column, now=now).rows
    except LarderError:  # no labels yet, or none that fit: the monitors say so, the page goes without this plot
        return None


def _calibration(task: Task, answers: pa.Table | None) -> Markup:
    """Of what was answered to callers and has its outcome; empty when that is nothing."""
    if answers is None or answers.num_rows == 0:
        return Markup()
    is_known = pc.and_(pc.is_valid(answers[OUTCOME]), pc.is_valid(answers[task.predicted]))
    rows = answers.filter(pc.and_(pc.equal(answers["traffic"], LIVE), is_known))
    if rows.num_rows == 0:
        return Markup()
    curve = calibration_curve(task.outcomes(rows, OUTCOME), rows[task.predicted].to_numpy())
    shown = Calibration(tuple(curve.predicted), tuple(curve.observed), tuple(curve.count))
    return calibration_plot(shown, task.name)
