"""Where a model is better and worse: the test rows by the values of a column."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.contracts.errors import ConfigurationError
from larder.contracts.objective import Slice
from larder.evaluation.task import Floats, Outcomes, Task


@dataclass(frozen=True)
class SliceScore:
    """Quality on the test rows where `slice` has `value`. The task's ranking is None where all
    outcomes there are the same, and so is what cannot be said of such rows."""

    slice: str
    value: str
    rows: int
    metrics: dict[str, float | None]


def slice_scores(part: Slice, test: pa.Table, task: Task, outcome: Outcomes, predicted: Floats) -> list[SliceScore]:
    values = slice_values(part, test[part.column])
    scores = []
    for value in sorted(set(values)):
        chosen = values == value
        rows = int(chosen.sum())
        if rows >= part.minimum_rows:
            found = _metrics_if_any(task, outcome[chosen], predicted[chosen])
            scores.append(SliceScore(part.name, value, rows, found))
    return scores


def slice_values(part: Slice, column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """The slice's value of each row; `missing` for null."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = [_text(part, value) for value in encoded.dictionary.to_pylist()]
    names = np.array([*texts, "missing"], dtype=object)
    return np.asarray(names[encoded.indices.fill_null(len(names) - 1).to_numpy()], dtype=object)


def _text(part: Slice, value: object) -> str:
    found = part.value(value)
    if not isinstance(found, str):
        raise ConfigurationError(
            f"`value` of slice {part.name!r} makes {found!r} of {value!r}; it must return a text. Correct it in the "
            "training file."
        )
    return found


def _metrics_if_any(task: Task, outcome: Outcomes, predicted: Floats) -> dict[str, float | None]:
    if len(np.unique(outcome)) >= 2:
        return dict(task.metrics(outcome, predicted))
    return {task.ranking: None, **task.metrics_of_alike(outcome, predicted)}
