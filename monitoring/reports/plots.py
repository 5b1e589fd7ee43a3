"""Small SVG plots of a model's curves; colours come from the page's style sheet, so they follow light and dark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from larder.contracts.objective import CLASSIFICATION, REGRESSION
from monitoring.reports.formats import number
from monitoring.reports.run_report import Calibration, Roc

SIZE, LEFT, BOTTOM, TOP, RIGHT = 300, 46, 44, 10, 12
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST_POINTS = 150
"""A curve with more points looks no different and only makes the page heavier."""


@dataclass(frozen=True)
class Scale:
    """The values at either end of both axes."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)

    def value(self, share: float) -> float:
        return self.low + share * (self.high - self.low)


UNIT = Scale(0.0, 1.0)


def roc_plot(roc: Roc, *, roc_auc: str) -> Markup:
    """The ROC curve with the diagonal of chance; empty when there is no curve."""
    points = _thinned(list(zip(roc.false_positive_rate, roc.true_positive_rate, strict=False)))
    if not points:
        return Markup()
    marks = Markup('<path class="area" d="{}"/><path class="curve" d="{}"/>').format(
        _path([(0.0, 0.0), *points, (1.0, 0.0)]) + "Z", _path(points)
    )
    note = Markup('<text class="note" x="{}" y="{}" text-anchor="end">ROC-AUC {}</text>').format(
        _x(0.96), _y(0.06), roc_auc
    )
    return _plot(
        f"ROC curve, area {roc_auc}: the further above the diagonal, the better", _DIAGONAL + marks + note,
        x="false alarms (false positive rate)", y="found (true positive rate)", scale=UNIT,
    )  # fmt: skip


def calibration_plot(calibration: Calibration, task: str) -> Markup:
    """Predicted against observed, one dot per bin, its area by rows; empty when there are no bins."""
    bins = [
        (predicted, observed, count)
        for predicted, observed, count in zip(
            calibration.predicted, calibration.observed, calibration.count, strict=False
        )
        if count
    ]
    if not bins:
        return Markup()
    scale = UNIT if task == CLASSIFICATION else _scale([value for *pair, _ in bins for value in pair])
    largest = max(count for *_, count in bins)
    dots = _joined(
        Markup('<circle class="dot" cx="{}" cy="{}" r="{:.1f}"><title>{}</title></circle>').format(
            _x(scale.share(predicted)), _y(scale.share(observed)), 3 + 7 * (count / largest) ** 0.5,
            f"predicted {number(predicted)}, observed {number(observed)}, {count:,} rows",
        )
        for predicted, observed, count in bins
    )  # fmt: skip
    line = Markup('<path class="curve" d="{}"/>').format(
        _path([(scale.share(predicted), scale.share(observed)) for predicted, observed, _ in bins])
    )
    title, x, y = _CALIBRATION[task]
    return _plot(title, _DIAGONAL + line + dots, x=x, y=y, scale=scale)


def bar(share: float, *, kind: str = "") -> Markup:
    """A horizontal bar that fills `share` (0 to 1) of its place; decoration beside the number itself."""
    width = 100 * min(max(share, 0.0), 1.0)
    return Markup(
        '<svg class="bar {}" aria-hidden="true" focusable="false">'
        '<rect class="track" width="100%" height="100%" rx="4"/>'
        '<rect class="fill" width="{:.1f}%" height="100%" rx="4"/></svg>'
    ).format(kind, width)


def _plot(title: str, marks: Markup, *, x: str, y: str, scale: Scale) -> Markup:
    grid = _joined(
        Markup(
            '<path class="grid" d="M{0} {1}H{2}M{3} {4}V{5}"/>'
            '<text x="{6}" y="{7}" text-anchor="end">{8:.3g}</text>'
            '<text x="{3}" y="{9}" text-anchor="middle">{8:.3g}</text>'
        ).format(_x(0), _y(at), _x(1), _x(at), _y(0), _y(1), LEFT - 7, _y(at) + 4, scale.value(at), _y(0) + 17)
        for at in TICKS
    )
    return Markup(
        '<svg class="plot" role="img" aria-label="{title}" viewBox="0 0 {size} {size}"><title>{title}</title>'
        '{grid}{marks}<text class="axis" x="{middle}" y="{bottom}" text-anchor="middle">{x}</text>'
        '<text class="axis" transform="translate(12 {centre}) rotate(-90)" text-anchor="middle">{y}</text></svg>'
    ).format(
        title=title, size=SIZE, grid=grid, marks=marks, middle=_x(0.5), bottom=SIZE - 6, x=x, centre=_y(0.5), y=y
    )  # fmt: skip


def _scale(values: Sequence[float]) -> Scale:
    """From the least to the greatest; of one value alone, a unit of it."""
    low, high = min(values), max(values)
    return Scale(low, high) if high > low else Scale(low - 0.5, low + 0.5)


def _x(share: float) -> float:
    return round(LEFT + share * (SIZE - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(SIZE - BOTTOM - share * (SIZE - BOTTOM - TOP), 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_x(x)} {_y(y)}" for x, y in points)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = max(1, len(points) // MOST_POINTS)
    return points[::step] + points[-1:] if step > 1 else points


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


_DIAGONAL = Markup('<path class="diagonal" d="{}"/>').format(_path([(0.0, 0.0), (1.0, 1.0)]))

_CALIBRATION = {
    CLASSIFICATION: (
        "Calibration: on the diagonal, probabilities mean what they say", "predicted probability", "observed share",
    ),
    REGRESSION: ("Calibration: on the diagonal, predictions are right on average", "prediction", "mean outcome"),
}  # fmt: skip
