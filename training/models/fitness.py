"""What a challenger must be beside good: made of rows that rebuild, fed by inputs that are there, quick to answer."""

import time
from statistics import median

import numpy as np

from larder.contracts.errors import LarderError
from larder.contracts.retraining import Release
from larder.distances import as_float32
from larder.usual_windows import usual_nulls
from training.data.rebuild import rebuild
from training.data.record import Record
from training.data.training_set import TrainingData
from training.gates import GateResult
from training.models.baseline import string_baseline
from training.models.export import Export, loaded
from training.models.tracking import Challenger

CALLS = 200
"""Single rows that the model is timed on."""

_REBUILD = (
    "Bring back what its rows were made of, or train a new version from what there is now (`larder train`, "
    "`larder retrain`)."
)
_NULLS = (
    "See why that input is missing (`larder monitor`, and the source of its view), or raise null_increase of the "
    "release in the training file."
)
_LATENCY = (
    "Choose a smaller model and run `larder train` again, or raise latency_ms of the release in the training file."
)


def fitness(challenger: Challenger, served: Export, release: Release, training_data: TrainingData) -> list[GateResult]:
    """`served`: the challenger as it would answer; `training_data` builds its rows a second time."""
    return [
        reproducibility(challenger, training_data),
        nulls(challenger, release),
        latency(challenger, served, release),
    ]


def reproducibility(challenger: Challenger, training_data: TrainingData) -> GateResult:
    """Whether the rows that the challenger learned from and was judged on are built again with the same hash."""
    lineage, version = challenger.description.lineage, challenger.version
    if lineage.labels is None:
        return GateResult("rows rebuilt", None, None, ">=", True, "logged before labels were on record")
    record = Record(f"{version.model}/{version.number}", lineage, lineage.labels)
    try:
        rebuilt = rebuild(record, training_data)
    except LarderError as problem:
        return GateResult("rows rebuilt", 0.0, 1.0, ">=", False, str(problem), _REBUILD)
    causes = "same hash" if rebuilt.is_identical else "; ".join(rebuilt.causes)
    return GateResult("rows rebuilt", float(rebuilt.is_identical), 1.0, ">=", rebuilt.is_identical, causes, _REBUILD)


def nulls(challenger: Challenger, release: Release) -> GateResult:
    """By how much the share of nulls among the judged rows exceeds what windows of training had, of the worst input."""
    usual, test = challenger.description.baseline, challenger.test
    if usual is None or not test.num_rows:
        return GateResult("rise of nulls", None, None, "<=", True, "no baseline to compare with")
    columns = challenger.description.columns
    shares = {name: float(np.isnan(as_float32(test[name])).mean()) for name in columns.numbers}
    shares |= {name: string_baseline(test[name]).nulls / test.num_rows for name in columns.strings}
    rises = {name: share - usual_nulls(usual, name) for name, share in shares.items()}
    worst = max(rises, key=lambda name: rises[name])
    value, limit = max(rises[worst], 0.0), release.null_increase
    evidence = f"{worst}: {shares[worst]:.1%} of {test.num_rows:,} rows are null, up to "
    evidence += f"{usual_nulls(usual, worst):.1%} were in training"
    return GateResult("rise of nulls", value, limit, "<=", value <= limit, evidence, _NULLS)


def latency(challenger: Challenger, served: Export, release: Release) -> GateResult:
    """Median milliseconds that the model takes for one row, as the bundle holds it."""
    if not challenger.test.num_rows:
        return GateResult("model latency, ms", None, None, "<=", True, "no row to time it on")
    answer = loaded(served.runtime, served.model, challenger.description.columns)
    seconds = []
    for number in range(CALLS):
        row = challenger.test.slice(number % challenger.test.num_rows, 1)
        started = time.perf_counter()
        answer(row)
        seconds.append(time.perf_counter() - started)
    value, limit = median(seconds) * 1000, release.latency_ms
    evidence = f"{served.runtime}, median of {CALLS} single rows"
    return GateResult("model latency, ms", value, limit, "<=", value <= limit, evidence, _LATENCY)
