"""Policies side by side: a table for people, one object for programs."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from larder.contracts.objective import TITLES
from replay.result import Result


def comparison_table(results: Sequence[Result]) -> Table:
    """A column per policy."""
    table = _table("Policies over the same time", "", *(item.policy for item in results))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, shown in _COUNTED.items():
        table.add_row(name, *(shown(item) for item in results))
    for metric in (results[0].loss, results[0].ranking, "kpi"):
        table.add_row(TITLES[metric], *(_number(item.metrics.get(metric)) for item in results))
    for name, shown in _DONE.items():
        table.add_row(name, *(shown(item) for item in results))
    return table


def incident_table(results: Sequence[Result]) -> Table:
    """Per incident and policy who noticed it first, and when."""
    table = _table("Incidents", "incident", "policy", "first alarm", "after")
    table.columns[2].overflow = "fold"
    for item in results:
        for found in item.incidents:
            alarm, after = "none", ""
            if found.monitor is not None:
                alarm, after = f"{found.monitor} of {found.subject}", f"{found.hours or 0:.0f} h"
            table.add_row(found.incident, item.policy, alarm, after)
    return table


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """The figures of the last result, and those of all under `policies`."""
    figures = {item.policy: _figures(item) for item in results}
    return _figures(results[-1]) | {"policies": figures}


def _figures(item: Result) -> dict[str, Any]:
    return {
        "policy": item.policy,
        **dict.fromkeys((item.loss, item.ranking, "kpi")),
        **item.metrics,
        "trainings": item.trainings,
        "answers": item.answers,
        "labelled": item.labelled,
        "promotions": item.promotions,
        "rejections": item.rejections,
        "rollbacks": item.rollbacks,
        "alarm_days": item.alarm_days,
        "wrong_alarm_days": item.wrong_alarm_days,
        "incidents": item.incidents,
    }


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


_COUNTED: dict[str, Callable[[Result], str]] = {
    "answers": lambda item: f"{item.answers:,}",
    "with an outcome": lambda item: f"{item.labelled:,}",
}
_DONE: dict[str, Callable[[Result], str]] = {
    "trainings": lambda item: str(item.trainings),
    "promoted": lambda item: str(item.promotions),
    "rejected": lambda item: str(item.rejections),
    "rolled back": lambda item: str(item.rollbacks),
    "days with alarms": lambda item: str(item.alarm_days),
    "of them outside incidents": lambda item: str(item.wrong_alarm_days),
}
