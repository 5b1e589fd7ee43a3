"""From Arrow columns to the one input layout that training, ONNX and serving share, and to a fitted pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.bundle import Bounds
from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingColumnsError, first_line
from larder.contracts.inputs import NULL_STRING
from larder.contracts.objective import CLASSIFICATION, Objective
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.evaluation import Floats, Outcomes, Task, task_of

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Float32s = npt.NDArray[np.float32]

IMPORTANCE_ROWS = 2_000


@dataclass(frozen=True)
class Columns:
    """Model inputs in model order: all numbers, then all strings."""

    numbers: tuple[str, ...]
    strings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self.numbers + self.strings

    def only(self, names: Sequence[str]) -> "Columns":
        """The columns among `names`, in model order. Raises MissingColumnsError when one is none of them."""
        missing = sorted(set(names) - set(self.names))
        if missing:
            raise MissingColumnsError(
                f"No model input is called {missing}; there are {list(self.names)}. "
                "Correct the feature sets in the training file, or add the features to the feature service."
            )
        return Columns(
            tuple(name for name in self.numbers if name in names), tuple(name for name in self.strings if name in names)
        )


def numbers(rows: pa.Table, columns: Columns) -> Float32s:
    """Matrix of `columns.numbers` as float32, NaN for null: what serving and ONNX see."""
    matrix = np.empty((rows.num_rows, len(columns.numbers)), dtype=np.float32)
    for position, name in enumerate(columns.numbers):
        matrix[:, position] = rows[name].to_numpy()
    return matrix


def strings(rows: pa.Table, columns: Columns) -> npt.NDArray[np.object_]:
    """Matrix of `columns.strings`, "" for null."""
    matrix = np.empty((rows.num_rows, len(columns.strings)), dtype=object)
    for position, name in enumerate(columns.strings):
        matrix[:, position] = pc.fill_null(rows[name], NULL_STRING).to_pylist()
    return matrix


def inputs(rows: pa.Table, columns: Columns) -> pd.DataFrame:
    """What a scikit-learn pipeline reads: numbers, then strings, in one frame that knows their names."""
    frame = pd.DataFrame(numbers(rows, columns), columns=list(columns.numbers), copy=False)
    if not columns.strings:
        return frame
    return pd.concat([frame, pd.DataFrame(strings(rows, columns), columns=list(columns.strings), dtype=object)], axis=1)


def fit(objective: Objective, rows: pa.Table, columns: Columns, *, half_life: timedelta | None = None) -> "Pipeline":
    """The declared pipeline fitted to `rows`; with a half-life, a row that much older than the newest weighs half.

    Raises InvalidDataError where there is nothing to learn from, ConfigurationError for classes of one's own, for an
    estimator of another task, for one that cannot weigh rows, and for a pipeline that cannot learn from these columns
    or cannot answer without their values.
    """
    outcome = task_of(objective).outcomes(rows, objective.label.column)
    _require_learnable(rows, columns, outcome, objective.label.column)
    pipeline = objective.pipeline(columns.numbers, columns.strings)
    _require_library_classes(pipeline)
    _require_estimator_of(objective.task, pipeline)
    weights = {} if half_life is None else {_weight_parameter(pipeline): row_weights(rows, half_life)}
    fitted = _fitted(pipeline, inputs(rows, columns), outcome, weights)
    _require_answer_to_nulls(fitted, columns)
    return fitted


def row_weights(rows: pa.Table, half_life: timedelta) -> npt.NDArray[np.float64]:
    """1 for the newest prediction instant, halved for every half-life that a row is older."""
    at = rows[EVENT_TIMESTAMP].cast(pa.int64()).to_numpy()
    weights: npt.NDArray[np.float64] = 0.5 ** ((at.max() - at) / (half_life / timedelta(microseconds=1)))
    return weights


def predictions(pipeline: "Pipeline", rows: pa.Table, columns: Columns) -> Floats:
    """Per row the probability that the label is true, or the predicted number."""
    return answers(pipeline, inputs(rows, columns))


def answers(pipeline: "Pipeline", frame: pd.DataFrame) -> Floats:
    """The same for what `inputs` returns."""
    from sklearn.base import is_classifier

    found = pipeline.predict_proba(frame)[:, 1] if is_classifier(pipeline) else pipeline.predict(frame)
    return np.asarray(found, dtype=np.float64).reshape(len(frame))


def training_bounds(rows: pa.Table, columns: Columns, quantiles: tuple[float, float]) -> dict[str, Bounds]:
    """Range of the finite training values of every number between two quantiles; without one where there is none."""
    bounds = {}
    for name in columns.numbers:
        values = rows[name].to_numpy()
        finite = values[np.isfinite(values)]
        if len(finite):
            low, high = np.quantile(finite, quantiles)
            bounds[name] = Bounds(float(low), float(high))
    return bounds


def importance(
    pipeline: "Pipeline", rows: pa.Table, columns: Columns, task: Task, outcome: Outcomes, *, seed: int
) -> dict[str, float]:
    """How much of ROC-AUC, or of R², is lost when one input's values are shuffled, largest first; over a sample."""
    from sklearn.inspection import permutation_importance

    sample = np.random.default_rng(seed).permutation(rows.num_rows)[:IMPORTANCE_ROWS]
    if len(np.unique(outcome[sample])) < 2:
        return {}
    found = permutation_importance(
        pipeline,
        inputs(rows.take(sample), columns),
        outcome[sample],
        scoring=task.ranking,
        n_repeats=1,
        random_state=seed,
    )
    pairs = zip(columns.names, found.importances_mean, strict=True)
    return dict(sorted(((name, float(value)) for name, value in pairs), key=lambda pair: -pair[1]))


def _weight_parameter(pipeline: "Pipeline") -> str:
    """The argument of `Pipeline.fit` that carries weights to the last step."""
    from sklearn.utils.validation import has_fit_parameter

    name, estimator = pipeline.steps[-1]
    if not has_fit_parameter(estimator, "sample_weight"):
        raise ConfigurationError(
            f"The training window has a half-life, but {type(estimator).__name__} takes no weights. Choose an "
            "estimator that does, or set half_life to None in the training file."
        )
    return f"{name}__sample_weight"


def _require_learnable(rows: pa.Table, columns: Columns, outcome: Outcomes, label: str) -> None:
    if not columns.names:
        raise ConfigurationError("The feature service has no model input. Add a view with features to it.")
    empty = [name for name in columns.names if rows[name].null_count == rows.num_rows]
    if empty:
        raise InvalidDataError(
            f"No training row has a value of {empty}. Run `larder features` and check that the views reach back "
            "to the training months, or drop these features from the feature service."
        )
    if len(np.unique(outcome)) < 2:
        raise InvalidDataError(
            f"All {rows.num_rows} training labels {label!r} are the same, so there is nothing to tell apart. "
            "Check the labels table and split_at in the training file."
        )


def _require_estimator_of(task: str, pipeline: "Pipeline") -> None:
    from sklearn.base import is_classifier, is_regressor

    is_fitting = is_classifier if task == CLASSIFICATION else is_regressor
    if not is_fitting(pipeline):
        raise ConfigurationError(
            f"The pipeline ends with {type(pipeline.steps[-1][1]).__name__}, but the objective asks for {task}: a "
            "Label needs one of scikit-learn's classifiers, a NumberLabel one of its regressors."
        )


def _fitted(pipeline: "Pipeline", frame: pd.DataFrame, outcome: Outcomes, weights: dict[str, Any]) -> "Pipeline":
    try:
        return pipeline.fit(frame, outcome, **weights)
    except (TypeError, ValueError) as problem:
        strings = [name for name in frame if frame[name].dtype == object]
        raise ConfigurationError(
            f"The pipeline of the training file cannot learn from {len(frame)} rows of {frame.shape[1] - len(strings)} "
            f"numbers, null being NaN, and then the strings {strings}: {first_line(problem)}. Correct its steps; "
            "`larder --debug ...` shows which one it was."
        ) from problem


def _require_answer_to_nulls(pipeline: "Pipeline", columns: Columns) -> None:
    """Training may have seen no null; serving has one wherever a feature is missing or stale."""
    numbers = {name: pa.nulls(1, pa.float32()) for name in columns.numbers}
    row = pa.table(numbers | {name: pa.nulls(1, pa.large_string()) for name in columns.strings})
    try:
        [answer] = predictions(pipeline, row, columns)
        trouble = "" if np.isfinite(answer) else f"it answers {answer}"
    except (TypeError, ValueError) as problem:
        trouble = first_line(problem)
    if trouble:
        raise ConfigurationError(
            "The pipeline of the training file learns, but has no answer where a feature is missing, which serving "
            f"gives it as NaN, of strings as the empty one: {trouble}. Put a SimpleImputer first, an encoder with "
            "handle_unknown='ignore', or an estimator that takes NaN."
        )


def _require_library_classes(pipeline: object) -> None:
    from sklearn.pipeline import Pipeline

    if not isinstance(pipeline, Pipeline):
        raise ConfigurationError(
            f"The pipeline function of the training file returns {pipeline!r}; it must return an unfitted scikit-learn "
            "Pipeline, such as Pipeline([('model', HistGradientBoostingClassifier())])."
        )
    foreign = sorted({_qualified(step) for _, step in pipeline.steps if not _qualified(step).startswith("sklearn.")})
    if foreign:
        raise ConfigurationError(
            f"The pipeline holds {foreign}; a model consists of scikit-learn's own classes, so that serving loads it "
            "without this project. Move the computation into a feature view or an on-demand view."
        )


def _qualified(step: Any) -> str:
    return f"{type(step).__module__}.{type(step).__qualname__}" if not isinstance(step, str) else "sklearn." + step
