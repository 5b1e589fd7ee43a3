"""What a replay came to: quality of all that was answered, what was trained and released, what was noticed and when."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import polars as pl
import pyarrow.compute as pc

from larder.contracts.monitoring import Verdict
from larder.contracts.tables import Lake
from larder.evaluation import Task, task_of
from larder.ledger import Act
from larder.predictions import LIVE, OUTCOME, judged, read_predictions
from replay.day import DayDone, Loop
from replay.incidents import Incident

AFTERMATH = timedelta(days=8)
"""An alarm this long after an incident still counts as its consequence: a week's window, and a day for labels."""


class Noticed(msgspec.Struct, frozen=True):
    """An incident, and the first alarm that it raised."""

    incident: str
    monitor: str | None
    """None: nobody noticed."""
    subject: str | None
    hours: float | None
    """From the incident's start to the alarm."""
    trainings: int
    """Trainings while it lasted and in its aftermath."""


class Day(msgspec.Struct, frozen=True):
    day: str
    answers: int
    labelled: int
    loss: float | None
    """Log loss, or mean absolute error, of the answers of the day; None without labels."""
    kpi: float | None
    version: str | None
    """That answered last."""
    alarms: list[str]
    """`monitor of subject`."""


class Released(msgspec.Struct, frozen=True):
    at: datetime
    act: str
    version: str
    reason: str


class Result(msgspec.Struct, frozen=True):
    policy: str
    start: datetime
    until: datetime
    answers: int
    labelled: int
    ranking: str
    """The metric that says how well rows are told apart, higher being better."""
    loss: str
    """The metric that answers are judged by, lower being better."""
    metrics: dict[str, float]
    """All of the task's, over all answers; empty where too few labels are known."""
    trainings: int
    promotions: int
    rejections: int
    rollbacks: int
    alarm_days: int
    wrong_alarm_days: int
    """Days with an alarm outside every incident and its aftermath."""
    incidents: list[Noticed]
    days: list[Day]
    acts: list[Released]


def result(
    loop: Loop, days: Sequence[DayDone], incidents: Sequence[Incident], *, policy: str, start: datetime, until: datetime
) -> Result:
    """Judge every live answer by the outcomes known at `until`."""
    lake = Lake(loop.settings.lake)
    task = task_of(loop.objective)
    columns = ["request", "version", task.predicted]
    logged = read_predictions(lake.predictions(loop.model), since=start, until=until, columns=columns)
    live = logged.filter(pc.equal(logged["traffic"], LIVE))
    label = loop.objective.label
    rows = pl.DataFrame(judged(live, lake.labels(label.table), label.column, now=until).rows.drop_columns(["request"]))
    known = _known(rows, task)
    found: dict[str, float] = {}
    if known.height and known[OUTCOME].n_unique() >= 2:
        found = task.metrics(known[OUTCOME].to_numpy(), known[task.predicted].to_numpy())
    acts = [
        Released(entry.at, str(entry.act), entry.version, entry.reason)
        for entry in loop.ledger.entries(acts=(Act.TRAINING, Act.PROMOTION, Act.REJECTION, Act.ROLLBACK))
    ]
    count = {act: sum(item.act == act for item in acts) for act in Act}
    return Result(
        policy=policy,
        start=start,
        until=until,
        answers=rows.height,
        labelled=known.height,
        ranking=task.ranking,
        loss=task.loss,
        metrics=found,
        trainings=count[Act.TRAINING],
        promotions=count[Act.PROMOTION],
        rejections=count[Act.REJECTION],
        rollbacks=count[Act.ROLLBACK],
        alarm_days=sum(bool(day.alarms) for day in days),
        wrong_alarm_days=sum(bool(day.alarms) and not is_explained(day.now, incidents) for day in days),
        incidents=[noticed(incident, days, acts) for incident in incidents],
        days=_days(rows, loop, days),
        acts=acts,
    )


def is_explained(at: datetime, incidents: Sequence[Incident]) -> bool:
    return any(item.start < at <= item.end + AFTERMATH for item in incidents)


def noticed(incident: Incident, days: Sequence[DayDone], acts: Sequence[Released]) -> Noticed:
    """The first alarm, of the monitors that the incident names or of any, that was not raised the day before it."""
    eve = [day for day in days if day.now <= incident.start][-1:]
    before = {name for day in eve for name in day.alarms}
    trainings = sum(item.act == Act.TRAINING and incident.start < item.at <= incident.end + AFTERMATH for item in acts)
    for day in days:
        if not incident.start < day.now <= incident.end + AFTERMATH:
            continue
        for item in day.findings:
            is_meant = not incident.detected_by or item.monitor in incident.detected_by
            if item.verdict is Verdict.ALARM and is_meant and f"{item.monitor} of {item.subject}" not in before:
                hours = (day.now - incident.start) / timedelta(hours=1)
                return Noticed(incident.name, item.monitor, item.subject, hours, trainings)
    return Noticed(incident.name, None, None, None, trainings)


def _known(rows: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Those with an outcome, and an answer that is a finite number."""
    return rows.filter(pl.col(OUTCOME).is_not_null() & pl.col(task.predicted).is_finite().fill_null(False))


def _days(rows: pl.DataFrame, loop: Loop, days: Sequence[DayDone]) -> list[Day]:
    """One entry per day of the schedule; a day is the time since the run before."""
    task, found = task_of(loop.objective), []
    for previous, day in zip([None, *days], days, strict=False):
        since = previous.now if previous is not None else day.now - timedelta(days=1)
        part = rows.filter(pl.col("at").is_between(since, day.now, closed="right"))
        known = _known(part, task)
        cost = task.losses(known[OUTCOME].to_numpy(), known[task.predicted].to_numpy())
        found.append(
            Day(
                day=f"{day.now:%Y-%m-%d}",
                answers=part.height,
                labelled=known.height,
                loss=float(cost[task.loss].mean()) if known.height else None,
                kpi=float(cost["kpi"].mean()) if known.height else None,
                version=part["version"][-1] if part.height else None,
                alarms=day.alarms,
            )
        )
    return found
