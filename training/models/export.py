"""The model as serving runs it: an ONNX graph where that reproduces scikit-learn, else scikit-learn itself."""

import copy
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pyarrow as pa

from larder.contracts.bundle import Manifest
from larder.contracts.inputs import NUMBERS, STRINGS
from larder.evaluation import Floats
from training.models.model import Columns, numbers, predictions, strings

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TOLERANCE = 1e-5
"""Largest difference of a prediction between ONNX and scikit-learn, on any row: of a probability as it is, of a number
as a share of its distance from the mean of all, or of the mean such distance where that is larger. A graph in float32
keeps seven digits: too few where numbers hardly differ for their size, such as instants in seconds."""

Scorer = Callable[[pa.Table], Floats]
"""Rows -> what serving answers for them."""


@dataclass(frozen=True)
class Export:
    runtime: str
    """`onnx` or `sklearn`."""
    model: bytes
    rows: int
    """Rows on which the runtime was compared with scikit-learn."""
    max_difference: float
    reason: str = ""
    """Why ONNX is not used; empty where it is."""


def export(pipeline: "Pipeline", columns: Columns, rows: pa.Table) -> Export:
    """Export `pipeline`; the graph is checked on all of `rows`, which should be real ones."""
    try:
        graph = onnx_graph(_with_float32_thresholds(pipeline), columns)
        served = loaded("onnx", graph, columns)(rows)
    except Exception as problem:  # skl2onnx and ONNX Runtime have no error type in common
        return _scikit_learn(pipeline, rows, f"ONNX cannot express it: {problem}")
    trained = predictions(pipeline, rows, columns)
    difference, allowed = np.abs(served - trained), _allowed(pipeline, trained)
    if not (difference <= allowed).all():
        worst = np.argmax(difference - allowed)  # NaN counts as the largest
        reason = f"ONNX differs by up to {difference[worst]:.2g}, more than {allowed[worst]:.2g}"
        return _scikit_learn(pipeline, rows, reason)
    return Export("onnx", graph, rows.num_rows, float(difference.max()))


def onnx_graph(pipeline: "Pipeline", columns: Columns) -> bytes:
    """The pipeline as an ONNX graph; its last output is float32: probabilities [rows, 2], or numbers [rows, 1]."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.base import is_classifier

    types = []
    if columns.numbers:
        types.append((NUMBERS, FloatTensorType([None, len(columns.numbers)])))
    if columns.strings:
        types.append((STRINGS, StringTensorType([None, len(columns.strings)])))
    with warnings.catch_warnings():
        # skl2onnx hands onnx a bool where it will want an int one day; the graph is checked on real rows.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto", DeprecationWarning)
        options = {"zipmap": False} if is_classifier(pipeline) else None
        graph = to_onnx(pipeline, initial_types=types, options=options)
    # skl2onnx lists these in the order of a set, another one in each process; a bundle that is frozen once more, after
    # a kill, has to be the same to the byte.
    operators = sorted(graph.opset_import, key=lambda operator: str(operator.domain))
    del graph.opset_import[:]
    graph.opset_import.extend(operators)
    return bytes(graph.SerializeToString(deterministic=True))


def _allowed(pipeline: "Pipeline", trained: Floats) -> Floats:
    """Per row; see `TOLERANCE`."""
    from sklearn.base import is_classifier

    if is_classifier(pipeline):
        return np.full(len(trained), TOLERANCE)
    distance = np.abs(trained - trained.mean())
    allowed: Floats = TOLERANCE * np.maximum(distance, distance.mean())
    return allowed


def _with_float32_thresholds(pipeline: "Pipeline") -> "Pipeline":
    """The same function of float32 inputs, with thresholds that a graph in float32 keeps exactly.

    A boosted tree asks whether x <= t with t in float64, often half-way between two neighbouring float32 values; the
    converter would round it to the nearer one, maybe up, and send the value that lies there to the other side. No
    float32 lies between t and the next float32 below it, so that one asks the same.
    """
    copied = copy.deepcopy(pipeline)
    for tree in _boosted_trees(copied):
        exact = tree.nodes["num_threshold"]
        with np.errstate(over="ignore"):  # +inf sends every number to the left
            rounded = exact.astype(np.float32)
        down = np.nextafter(rounded, np.float32(-np.inf))
        tree.nodes["num_threshold"] = np.where(rounded > exact, down, rounded)
    return copied


def _boosted_trees(part: object) -> Iterator[Any]:
    """Those of `part` and of all estimators in it, as a voting or stacking one holds several."""
    from sklearn.base import BaseEstimator

    if isinstance(part, BaseEstimator):
        for trees in getattr(part, "_predictors", []):
            yield from trees
        part = list(vars(part).values())
    if isinstance(part, Mapping):
        part = list(part.values())
    if isinstance(part, list | tuple):
        for item in part:
            yield from _boosted_trees(item)


def loaded(runtime: str, model: bytes, columns: Columns) -> Scorer:
    """A served model in memory; the hash of its bytes was checked by the caller."""
    if runtime == "onnx":
        return _loaded_graph(model, columns)
    pipeline = joblib.load(io.BytesIO(model))
    return lambda rows: predictions(pipeline, rows, columns)


def bundle_predictions(manifest: Manifest, model: bytes, rows: pa.Table) -> Floats:
    """What a bundle's model, its hash checked by the caller, answers for `rows`."""
    return loaded(manifest.runtime, model, Columns(manifest.numbers, manifest.strings))(rows)


def _loaded_graph(graph: bytes, columns: Columns) -> Scorer:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    output = session.get_outputs()[-1].name

    def answers(rows: pa.Table) -> Floats:
        feed = {NUMBERS: numbers(rows, columns), STRINGS: strings(rows, columns)}
        feed = {item.name: feed[item.name] for item in session.get_inputs()}
        return np.asarray(session.run([output], feed)[0][:, -1], dtype=np.float64)

    return answers


def _scikit_learn(pipeline: "Pipeline", rows: pa.Table, reason: str) -> Export:
    file = io.BytesIO()
    joblib.dump(pipeline, file)
    return Export("sklearn", file.getvalue(), rows.num_rows, 0.0, reason)
