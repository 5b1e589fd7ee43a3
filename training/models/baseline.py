"""What was usual in training, counted once and kept with the model: the measure that monitors hold live traffic to."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from larder.contracts.inputs import NULL_STRING
from larder.contracts.monitoring import Baseline, NumberBaseline, StringBaseline
from larder.distances import string_counts
from larder.evaluation import Evaluation, Floats, Outcomes, Task
from training.models.model import Columns, Float32s, answers, inputs

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

BINS = 10
QUANTILES = 201
STRINGS = 1_000
DEPENDENCE_ROWS = 200
DEPENDENCE_STRINGS = 100
"""Rarer strings move few answers; what the model says of them is not asked."""


def baseline(
    rows: pa.Table, columns: Columns, task: Task, *, outcome: Outcomes, predicted: Floats, evaluation: Evaluation
) -> Baseline:
    """The baseline of a model that learned from `rows` and was judged on `outcome` beside `predicted`.

    Numbers are taken as float32, as the model takes them: who compares a value with an edge casts it first, or 0.1
    falls below the edge 0.1. All rows count, none is sampled: one sort per column, about 5 s for 300,000 rows x 120.
    """
    return Baseline(
        rows=rows.num_rows,
        numbers={name: number_baseline(rows[name].to_numpy()) for name in columns.numbers},
        strings={name: string_baseline(rows[name]) for name in columns.strings},
        prediction=number_baseline(predicted),
        judged_rows=len(outcome),
        metrics=dict(evaluation.metrics),
        constant={name: float(of_rows.mean()) for name, of_rows in task.constant_losses(outcome).items()},
    )


def number_baseline(values: npt.NDArray[np.floating]) -> NumberBaseline:
    """About ten bins of equal size; a number of at most ten values has one bin for each. NaN is null.

    An infinite value counts in the bin at its end, but not for quantiles, mean and deviation.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float32))  # NaN comes last
    ordered = ordered[: len(ordered) - int(np.isnan(ordered).sum())]
    finite = ordered[np.isfinite(ordered)]
    edges = _edges(finite)
    # In sorted values the rows below an edge end where the edge would be inserted.
    ends = np.searchsorted(ordered, edges, side="left")
    counts = np.diff(np.concatenate(([0], ends, [len(ordered)])))
    return NumberBaseline(
        edges=edges.tolist(),
        counts=counts.tolist(),
        nulls=len(values) - len(ordered),
        quantiles=_quantiles(finite).tolist(),
        mean=float(finite.mean(dtype=np.float64)) if len(finite) else None,
        deviation=float(finite.std(dtype=np.float64)) if len(finite) else None,
    )


def string_baseline(values: pa.ChunkedArray) -> StringBaseline:
    """Rows per value, the most frequent first; equally frequent ones by name. The empty string stands for null."""
    counts = string_counts(values)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return StringBaseline(
        counts=dict(ordered[:STRINGS]),
        nulls=len(values) - sum(counts.values()),
        other=sum(count for _, count in ordered[STRINGS:]),
    )


def dependence(
    pipeline: "Pipeline", rows: pa.Table, columns: Columns, usual: Baseline, *, seed: int
) -> dict[str, list[float]]:
    """`Baseline.dependence` of the pipeline, over a sample of `rows`; inputs without any value are left out.

    One call of the model per input: scikit-learn's own `partial_dependence` calls it for each value, which took forty
    times as long for boosted trees, with the same result.
    """
    sample = np.random.default_rng(seed).permutation(rows.num_rows)[:DEPENDENCE_ROWS]
    frame = inputs(rows.take(sample), columns)
    found = {}
    for name, number in usual.numbers.items():
        if number.quantiles:
            middles = np.array([*_middles(number), np.nan], dtype=np.float32)
            found[name] = _mean_answers(pipeline, frame, name, middles)
    rest = float(answers(pipeline, frame).mean())
    for name, string in usual.strings.items():
        known = list(string.counts)[:DEPENDENCE_STRINGS]
        values = np.array([*known, NULL_STRING], dtype=object)
        *means, of_null = _mean_answers(pipeline, frame, name, values)
        found[name] = [*means, *[rest] * (len(string.counts) - len(known) + 1), of_null]
    return found


def _mean_answers(pipeline: "Pipeline", frame: pd.DataFrame, name: str, values: npt.NDArray[Any]) -> list[float]:
    """Per value the mean prediction when all rows of the frame have it as input `name`."""
    repeated = pd.concat([frame] * len(values), ignore_index=True)
    repeated[name] = np.repeat(values, len(frame))
    means: list[float] = answers(pipeline, repeated).reshape(len(values), -1).mean(axis=1).tolist()
    return means


def _middles(number: NumberBaseline) -> list[float]:
    """A value in the middle of each bin; its least one where no quantile lies in it."""
    quantiles = np.asarray(number.quantiles)
    bins = np.searchsorted(number.edges, quantiles, side="right")
    own = [quantiles[bins == place] for place in range(len(number.edges) + 1)]
    least = [quantiles[0], *number.edges]
    return [float(np.median(values)) if len(values) else low for values, low in zip(own, least, strict=True)]


def _edges(ordered: Float32s) -> Float32s:
    """Inner edges; none at the least value, since the bin below it would be empty."""
    if not len(ordered):
        return ordered
    candidates = ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]  # each distinct value
    if len(candidates) > BINS:
        candidates = np.unique(ordered[np.arange(1, BINS) * len(ordered) // BINS])
    edges: Float32s = candidates[candidates > ordered[0]]
    return edges


def _quantiles(ordered: Float32s) -> Float32s:
    """Values that occur, at even steps of rank from 0 to 1."""
    if not len(ordered):
        return ordered
    ranks: npt.NDArray[np.intp] = np.linspace(0, len(ordered) - 1, QUANTILES).round().astype(np.intp)
    found: Float32s = ordered[ranks]
    return found
