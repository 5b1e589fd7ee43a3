"""Policies side by side: a table for people, one object for programs."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from replay.result import Result


def comparison_table(results: Sequence[Result]) -> Table:
    table = Table(title="Policies over the same time", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("policy")
    names = ("answers", "log loss", "ROC-AUC", "KPI", "trainings", "promoted", "rejected", "rolled back")
    for name in (*names, "days with alarms", "of them unexplained"):
        table.add_column(name, justify="right")
    for item in results:
        numbers = (item.log_loss, item.roc_auc, item.kpi)
        counts = (item.trainings, item.promotions, item.rejections, item.rollbacks, item.alarm_days)
        table.add_row(
            item.policy,
            f"{item.answers:,}",
            *("-" if number is None else f"{number:.4f}" for number in numbers),
            *(str(count) for count in (*counts, item.wrong_alarm_days)),
        )
    for item in results:
        for seen_of in item.incidents:
            seen = "not noticed" if seen_of.monitor is None else _seen(seen_of.monitor, seen_of.subject, seen_of.hours)
            table.add_row(f"  {item.policy}: {seen_of.incident}: {seen}")
    return table


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """The figures of the last result, and those of all under `policies`."""
    figures = {item.policy: _figures(item) for item in results}
    return _figures(results[-1]) | {"policies": figures}


def _figures(item: Result) -> dict[str, Any]:
    return {
        "policy": item.policy,
        "log_loss": item.log_loss,
        "roc_auc": item.roc_auc,
        "kpi": item.kpi,
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


def _seen(monitor: str, subject: str | None, hours: float | None) -> str:
    return f"noticed by {monitor} of {subject} after {hours or 0:.0f} h"
