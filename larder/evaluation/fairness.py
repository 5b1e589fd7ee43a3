"""Whether a model treats the values of a protected slice alike, by the field's usual measures."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.contracts.objective import Kpi, Objective, Slice
from larder.evaluation.slices import slice_values
from larder.evaluation.task import Floats, Outcomes

Strings = npt.NDArray[np.str_]


def fairness(objective: Objective, test: pa.Table, outcome: Outcomes, predicted: Floats) -> dict[str, dict[str, float]]:
    """Protected slice -> metric of `larder.contracts.objective.FAIRNESS` -> value, over values with enough rows.

    demographic_parity_ratio: the least share of positive decisions over the greatest, 1 where all are alike.
    equalized_odds_difference: the greater of the differences in found and in falsely alarmed shares, 0 being alike.
    mae_difference, bias_difference: the greatest less the least, in the unit of the label.
    A slice of which fewer than two values have enough rows is left out.
    """
    found = {}
    for part in objective.slices:
        if part.is_protected:
            values = slice_values(part, test[part.column]).astype(str)
            kept = _is_common(part, values)
            if len(np.unique(values[kept])) >= 2:
                found[part.name] = _compared(objective, values[kept], outcome[kept], predicted[kept])
    return found


def _is_common(part: Slice, values: Strings) -> npt.NDArray[np.bool_]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    common: npt.NDArray[np.bool_] = counts[place] >= part.minimum_rows
    return common


def _compared(objective: Objective, values: Strings, outcome: Outcomes, predicted: Floats) -> dict[str, float]:
    from fairlearn.metrics import MetricFrame, demographic_parity_ratio, equalized_odds_difference

    if isinstance(objective.kpi, Kpi):
        given = {
            "y_true": outcome,
            "y_pred": (predicted >= objective.kpi.threshold).astype(np.int8),
            "sensitive_features": values,
        }
        ratio = float(demographic_parity_ratio(**given))
        return {
            # Where nobody is ever acted upon, all are treated alike.
            "demographic_parity_ratio": 1.0 if np.isnan(ratio) else ratio,
            "equalized_odds_difference": float(equalized_odds_difference(**given)),
        }
    measures = {
        "mae_difference": lambda true, said: float(np.abs(said - true).mean()),
        "bias_difference": lambda true, said: float((said - true).mean()),
    }
    frame = MetricFrame(metrics=measures, y_true=outcome, y_pred=predicted, sensitive_features=values)
    return {name: float(value) for name, value in frame.difference(method="between_groups").items()}
