"""A champion in memory: its bundle's hashes verified before anything in it is decoded."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from larder.contracts.bundle import MODEL_FILES, Manifest, bundle_plan, read_files, read_manifest
from larder.contracts.errors import InvalidDataError, SchemaMismatchError
from larder.contracts.inputs import NULL_STRING, NUMBER_TYPES, NUMBERS, STRING_TYPES, STRINGS
from larder.contracts.objective import CLASSIFICATION
from larder.contracts.plan import FeaturePlan

Floats = npt.NDArray[np.float32]
Strings = npt.NDArray[np.object_]
Scorer = Callable[[Floats, Strings], Floats]
"""`numbers` [N, n] and `strings` [N, m] -> N predictions."""


@dataclass(frozen=True)
class Scores:
    """One prediction per row, and which inputs lie outside the range seen in training."""

    predicted: list[float]
    """The probability of a yes, or a number."""
    out_of_bounds: list[list[str]]


@dataclass(frozen=True)
class Model:
    """A verified bundle, ready to score. Immutable: a new champion is another `Model`."""

    manifest: Manifest
    plan: FeaturePlan
    scorer: Scorer
    number_positions: tuple[int, ...]
    """Where each input of `numbers` stands among the plan's columns."""
    string_positions: tuple[int, ...]
    low: Floats
    high: Floats

    def scores(self, values: Sequence[Sequence[Any]]) -> Scores:
        """Predictions for rows of feature values in the order of the plan's columns; None is a null."""
        if not values:
            return Scores([], [])
        # 1e308 becomes infinity in float32: out of bounds, and no reason for a warning.
        with np.errstate(over="ignore"):
            numbers = np.array([[row[i] for i in self.number_positions] for row in values], dtype=np.float32)
        names, outside = self.manifest.numbers, [list[str]() for _ in values]
        for row, number in zip(*((numbers < self.low) | (numbers > self.high)).nonzero(), strict=True):
            outside[row].append(names[number])
        return Scores(self.scorer(numbers, self._strings(values)).tolist(), outside)

    def _strings(self, values: Sequence[Sequence[Any]]) -> Strings:
        if not self.string_positions:
            return np.empty((len(values), 0), dtype=np.object_)
        return np.array([[row[i] or NULL_STRING for i in self.string_positions] for row in values], dtype=np.object_)


def load_model(bundle: Path, *, trusted_keys: Path | None = None) -> Model:
    """The model of a bundle folder `<bundles>/<model>/<version>`.

    Raises MissingTableError, InvalidDataError (damaged, not what its folder says, or not signed by one of
    `trusted_keys`) or SchemaMismatchError (model and feature plan do not belong together).
    """
    manifest = read_manifest(bundle, trusted_keys=trusted_keys)
    if (manifest.model, manifest.version) != (bundle.parent.name, bundle.name):
        raise InvalidDataError(
            f"{bundle} holds {manifest.model!r} version {manifest.version!r}; a bundle lies in "
            "<bundles>/<model>/<version>. Promote the model again."
        )
    files = read_files(bundle, manifest)
    plan = bundle_plan(files)
    positions = {column.name: i for i, column in enumerate(plan.columns)}
    _check_columns(manifest, plan)
    model = Model(
        manifest=manifest,
        plan=plan,
        scorer=_SCORERS[manifest.runtime](files[MODEL_FILES[manifest.runtime]], manifest),
        number_positions=tuple(positions[name] for name in manifest.numbers),
        string_positions=tuple(positions[name] for name in manifest.strings),
        low=_limits(manifest, "low", -np.inf),
        high=_limits(manifest, "high", np.inf),
    )
    _check_answer(model)
    return model


def _check_columns(manifest: Manifest, plan: FeaturePlan) -> None:
    dtypes = {column.name: column.dtype for column in plan.columns}
    wrong = [
        f"{name} ({dtypes.get(name, 'absent')})" for name in manifest.numbers if dtypes.get(name) not in NUMBER_TYPES
    ]
    wrong += [
        f"{name} ({dtypes.get(name, 'absent')})" for name in manifest.strings if dtypes.get(name) not in STRING_TYPES
    ]
    if wrong:
        raise SchemaMismatchError(
            f"Version {manifest.version} of {manifest.model!r} needs inputs that its feature plan does not give "
            f"with a fitting type: {', '.join(wrong)}. Train and promote again."
        )


def _check_answer(model: Model) -> None:
    """Score one row of nulls: what the runtime would refuse is refused at load, not at the first request."""
    manifest = model.manifest
    try:
        [answer] = model.scores([[None] * len(model.plan.columns)]).predicted
    except Exception as problem:
        raise SchemaMismatchError(
            f"Version {manifest.version} of {manifest.model!r} cannot score a row with the inputs of its manifest: "
            f"{problem}. Promote the model again."
        ) from problem
    is_probability = manifest.task == CLASSIFICATION
    if not (0 <= answer <= 1 if is_probability else np.isfinite(answer)):
        raise SchemaMismatchError(
            f"Version {manifest.version} of {manifest.model!r} answers {answer} where "
            f"{'a probability from 0 to 1' if is_probability else 'a finite number'} belongs. Promote the model again."
        )


def _limits(manifest: Manifest, side: str, default: float) -> Floats:
    limits = [getattr(manifest.bounds[name], side) if name in manifest.bounds else default for name in manifest.numbers]
    return np.array(limits, dtype=np.float32)


def _onnx_scorer(data: bytes, manifest: Manifest) -> Scorer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a row is scored in microseconds; handing it to a pool costs more
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        raise InvalidDataError(
            f"The ONNX graph of {manifest.model!r} version {manifest.version} cannot be loaded: {problem}"
        ) from problem
    inputs = [item.name for item in session.get_inputs()]
    output = session.get_outputs()[-1].name

    def score(numbers: Floats, strings: Strings) -> Floats:
        given = {NUMBERS: numbers, STRINGS: strings}
        [found] = session.run([output], {name: given[name] for name in inputs})
        return np.asarray(found)[:, -1]

    return score


def _sklearn_scorer(data: bytes, manifest: Manifest) -> Scorer:
    import joblib
    import pandas as pd

    pipeline = joblib.load(io.BytesIO(data))

    def score(numbers: Floats, strings: Strings) -> Floats:
        # By the names that the model was trained with; it warns of inputs without.
        frame = pd.DataFrame(numbers, columns=list(manifest.numbers))
        if manifest.strings:
            texts = pd.DataFrame(strings, columns=list(manifest.strings), dtype=object)
            frame = pd.concat([frame, texts], axis=1)
        if manifest.task == CLASSIFICATION:
            return np.asarray(pipeline.predict_proba(frame)[:, 1])
        return np.asarray(pipeline.predict(frame)).reshape(len(frame))

    return score


_SCORERS: dict[str, Callable[[bytes, Manifest], Scorer]] = {"onnx": _onnx_scorer, "sklearn": _sklearn_scorer}
