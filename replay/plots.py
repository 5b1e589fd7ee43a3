"""Policies over time: how much worse or better each is, when it trained, when it rang."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from larder.contracts.objective import TITLES
from replay.result import Result

DAYS_SMOOTHED = 14


def comparison_plot(results: Sequence[Result]) -> bytes:
    """An SVG: loss per policy, smoothed, with promotions as marks; below, days with alarms."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasSVG(figure)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for number, item in enumerate(results):
        colour = f"C{number}"
        _draw_loss(top, item, colour)
        alarms = [_instant(day.day) for day in item.days if day.alarms]
        bottom.scatter(alarms, [number] * len(alarms), marker="|", color=colour)
    top.set_ylabel(f"{TITLES[results[0].loss].lower()}, mean of {DAYS_SMOOTHED} days")
    top.legend(frameon=False)
    top.grid(alpha=0.3)
    bottom.set_yticks(range(len(results)), [item.policy for item in results])
    bottom.set_title("days with an alarm", fontsize=9)
    image = io.BytesIO()
    figure.savefig(image, format="svg", metadata={"Date": None})
    return image.getvalue()


def _draw_loss(axes: Any, item: Result, colour: str) -> None:
    days = [day for day in item.days if day.loss is not None and day.labelled]
    if not days:
        return
    instants = [_instant(day.day) for day in days]
    weights = np.array([day.labelled for day in days], dtype=float)
    losses = np.array([day.loss for day in days]) * weights
    kernel = np.ones(min(DAYS_SMOOTHED, len(days)))
    smooth = np.convolve(losses, kernel, "full")[: len(days)] / np.convolve(weights, kernel, "full")[: len(days)]
    trained = "1 training" if item.trainings == 1 else f"{item.trainings} trainings"
    label = f"{item.policy}: {item.metrics[item.loss]:.4f}, {trained}" if item.metrics else item.policy
    axes.plot(instants, smooth, color=colour, label=label)
    promoted = [act.at for act in item.acts if act.act == "promotion"]
    heights = np.interp([at.timestamp() for at in promoted], [at.timestamp() for at in instants], smooth)
    axes.scatter(promoted, heights, color=colour, s=24, zorder=3)


def _instant(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")
