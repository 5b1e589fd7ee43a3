"""How good predictions are: metrics of either task, curves, slices and what an error costs, over judged rows."""

from larder.evaluation.curves import CalibrationCurve, RocCurve, calibration_curve
from larder.evaluation.judging import Evaluation, evaluation
from larder.evaluation.slices import SliceScore, slice_scores, slice_values
from larder.evaluation.task import Floats, Outcomes, Task, task_of

__all__ = [
    "CalibrationCurve",
    "Evaluation",
    "Floats",
    "Outcomes",
    "RocCurve",
    "SliceScore",
    "Task",
    "calibration_curve",
    "evaluation",
    "slice_scores",
    "slice_values",
    "task_of",
]
