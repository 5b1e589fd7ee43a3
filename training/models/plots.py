"""The pictures of a model, as PNG."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from larder.contracts.objective import CLASSIFICATION, TITLES
from larder.evaluation import CalibrationCurve, Evaluation, RocCurve, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST = 25


def plots(task: Task, evaluation: Evaluation, importance: Mapping[str, float]) -> dict[str, bytes]:
    """File name -> PNG."""
    found = {
        "calibration.png": _png(calibration_plot(task, evaluation.calibration)),
        "importance.png": _png(importance_plot(task, importance)),
    }
    if evaluation.roc is not None:
        found["roc.png"] = _png(roc_plot(evaluation.roc, evaluation.metrics["roc_auc"]))
    return found


def roc_plot(curve: RocCurve, area: float) -> "Figure":
    figure, axes = _figure("ROC on the test window", "False positive rate", "True positive rate")
    axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=f"challenger, area {area:.3f}")
    axes.plot([0, 1], [0, 1], "--", color="grey", label="by chance")
    axes.legend(loc="lower right")
    return figure


def calibration_plot(task: Task, curve: CalibrationCurve) -> "Figure":
    """Over a diagonal on which predictions mean what they say: from 0 to 1, or over the numbers that occur."""
    if task.name == CLASSIFICATION:
        figure, axes = _figure("Calibration on the test window", "Mean predicted probability", "Observed share")
        ends = [0.0, 1.0]
    else:
        figure, axes = _figure("Calibration on the test window", "Mean prediction", "Mean outcome")
        ends = [min(curve.predicted + curve.observed), max(curve.predicted + curve.observed)]
    axes.plot(curve.predicted, curve.observed, "o-", label="challenger, bins of equal size")
    axes.plot(ends, ends, "--", color="grey", label="perfect")
    axes.legend(loc="upper left")
    return figure


def importance_plot(task: Task, importance: Mapping[str, float]) -> "Figure":
    largest = sorted(importance.items(), key=lambda pair: pair[1])[-LARGEST:]
    figure, axes = _figure("Permutation importance", f"Loss of {TITLES[task.ranking]} when shuffled", "")
    axes.barh([name for name, _ in largest], [value for _, value in largest])
    return figure


def _figure(title: str, x: str, y: str) -> tuple["Figure", "Axes"]:
    """A figure of its own; pyplot would keep every figure in a global list."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
