"""What metrics to expect of probabilities if they are right: each row counts as p true and 1 - p false outcomes."""

import numpy as np
from sklearn.metrics import roc_auc_score

from larder.evaluation import Floats, Task


def expectation(task: Task, predicted: Floats) -> dict[str, float]:
    """Of at least one row. ROC-AUC is absent where all probabilities are 0, or all are 1; all is, of numbers."""
    found = {name: float(of_rows.mean()) for name, of_rows in task.expected_losses(predicted).items()}
    if found and 0 < predicted.sum() < len(predicted):
        found["roc_auc"] = expected_roc_auc(predicted)
    return found


def expected_roc_auc(predicted: Floats) -> float:
    """Needs both outcomes to be possible."""
    outcome = np.repeat([1, 0], len(predicted))
    weights = np.concatenate([predicted, 1 - predicted])
    return float(roc_auc_score(outcome, np.tile(predicted, 2), sample_weight=weights))
