"""How far single windows of training strayed from training as a whole: what a monitor must expect of any window.

One day has one weekday and one mood of the market. Held against a whole year it looks like drift every
day, however many rows it has; held against what other days did, only a day unlike all of them stands out.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from larder.contracts.monitoring import PREDICTION, Baseline, NumberBaseline, StringBaseline
from larder.contracts.tables import EVENT_TIMESTAMP
from larder.distances import Distances, Floats, as_float32, number_distances, string_counts, string_distances
from larder.offline.tables.kinds import INSTANT

MOST_WINDOWS = 120
"""Looked at, evenly spread over training."""
QUANTILE = 0.99

Positions = npt.NDArray[np.int64]


def with_usual_windows(
    baseline: Baseline,
    rows: pa.Table,
    judged_at: pa.ChunkedArray,
    predicted: Floats,
    *,
    fitted: Floats,
    fitted_usual: NumberBaseline,
    length: timedelta,
    minimum_rows: int,
) -> Baseline:
    """The baseline with `usual` filled in.

    `rows`: those that the features are counted over, with their `event_timestamp`; `fitted`: what the model says of
    them, and `fitted_usual` how that is distributed; `judged_at`: the instants of the probabilities `predicted`.
    Windows of `length` with fewer than `minimum_rows` rows are left out, as monitors do not judge them.
    """
    windows = _windows(rows[EVENT_TIMESTAMP], length, minimum_rows)
    usual = {}
    for name, number in baseline.numbers.items():
        dependence = baseline.dependence.get(name, ())
        usual[name] = _of_numbers(as_float32(rows[name]), windows, number, dependence)
    for name, string in baseline.strings.items():
        dependence = baseline.dependence.get(name, ())
        usual[name] = _highest([_of_strings(rows[name].take(window), string, dependence) for window in windows])
    # Few days are judged, and maybe calm ones. The model knows its training rows, but their days differ as days do.
    judged = _of_predictions(predicted, _windows(judged_at, length, minimum_rows), baseline.prediction)
    usual[PREDICTION] = _highest([*judged, *_of_predictions(fitted, windows, fitted_usual)])
    return msgspec.structs.replace(baseline, usual=usual)


def usual_nulls(baseline: Baseline, name: str) -> float:
    """Share of nulls that windows of training had at most, else that of all training; 0 for what has no baseline."""
    known = baseline.numbers.get(name) or baseline.strings.get(name)
    share = known.nulls / baseline.rows if known is not None and baseline.rows else 0.0
    return max(share, baseline.usual.get(name, {}).get("null_share", 0.0))


def _of_numbers(
    values: Floats, windows: Sequence[Positions], usual: NumberBaseline, dependence: Sequence[float]
) -> dict[str, float]:
    found = []
    for window in windows:
        own = values[window]
        found.append(_metrics(number_distances(own, usual, dependence)) | {"null_share": float(np.isnan(own).mean())})
    return _highest(found)


def _of_predictions(values: Floats, windows: Sequence[Positions], usual: NumberBaseline) -> Iterator[dict[str, float]]:
    rounded = values.astype(np.float32).astype(np.float64)
    return (_metrics(number_distances(rounded[window], usual)) for window in windows)


def _of_strings(values: pa.ChunkedArray, usual: StringBaseline, dependence: Sequence[float]) -> dict[str, float]:
    counts = string_counts(values)
    nulls = len(values) - sum(counts.values())
    return _metrics(string_distances(counts, nulls, usual, dependence)) | {"null_share": nulls / len(values)}


def _metrics(found: Distances) -> dict[str, float]:
    metrics = {
        "psi": found.psi,
        "jensen_shannon": found.jensen_shannon,
        "wasserstein": found.wasserstein,
        "effect": found.effect,
    }
    return {name: value for name, value in metrics.items() if value is not None}


def _highest(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Per metric the value that 99 of 100 windows do not exceed; with few windows the greatest."""
    names = {name for item in found for name in item}
    return {
        name: float(np.quantile([item[name] for item in found if name in item], QUANTILE, method="higher"))
        for name in sorted(names)
    }


def _windows(at: pa.ChunkedArray, length: timedelta, minimum_rows: int) -> list[Positions]:
    """Positions of the rows of each window."""
    instants = at.cast(INSTANT).cast(pa.int64()).to_numpy()
    if not len(instants):
        return []
    numbers = (instants - instants.min()) // (length // timedelta(microseconds=1))
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order])) + 1
    windows = [window for window in np.split(order, starts) if len(window) >= minimum_rows]
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).astype(np.int64)
    return [windows[position] for position in chosen]
