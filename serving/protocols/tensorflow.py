"""TensorFlow Serving's REST interface: predict in rows or in columns, model status and metadata.

An instance is what a row is in `POST /predict`: an object with every key and request field.
https://www.tensorflow.org/tfx/serving/api_rest
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from larder.contracts.bundle import Manifest
from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import FeaturePlan
from serving.protocols.columns import in_columns, in_rows

FORM = 'A request is {"instances": [{...}, ...]} or {"inputs": {field: [...], ...}}.'
SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Asked:
    rows: list[dict[str, Any]]
    """Not checked yet against what the model needs."""
    is_columnar: bool
    """Whether columns were sent, and are sent back."""


def asked(body: bytes) -> Asked:
    """Raises InvalidDataError for a body in neither format, or for columns of different lengths."""
    try:
        content = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise InvalidDataError(f"The request cannot be used: {str(problem)[:300]}. {FORM}") from problem
    unknown = sorted(content.keys() - {"instances", "inputs", "signature_name"})
    if unknown or ("instances" in content) == ("inputs" in content):
        raise InvalidDataError(f"The request has {sorted(content)}. {FORM}")
    if (signature := content.get("signature_name", SIGNATURE)) != SIGNATURE:
        raise InvalidDataError(f"There is no signature {signature!r}; there is {SIGNATURE!r}.")
    if "inputs" in content:
        return Asked(in_rows(content["inputs"], FORM), is_columnar=True)
    rows = content["instances"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidDataError(f"`instances` is no list of objects. {FORM}")
    return Asked(rows, is_columnar=False)


def answered(predictions: Sequence[dict[str, Any]], request: Asked) -> dict[str, Any]:
    if request.is_columnar:
        return {"outputs": in_columns(predictions)}
    return {"predictions": list(predictions)}


def status(manifest: Manifest) -> dict[str, Any]:
    """The one version that answers."""
    state = {"version": manifest.version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return {"model_version_status": [state]}


def metadata(manifest: Manifest, plan: FeaturePlan) -> dict[str, Any]:
    """Fields of an instance with their TensorFlow types; all have one value per row."""
    fields = plan.request
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    inputs = {item.name: {"dtype": DTYPES[item.dtype], "tensor_shape": shape, "name": item.name} for item in fields}
    signature = {"inputs": inputs, "method_name": "tensorflow/serving/predict"}
    return {
        "model_spec": {"name": manifest.model, "signature_name": "", "version": manifest.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


DTYPES = {
    "string": "DT_STRING",
    "bool": "DT_BOOL",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "unix_timestamp": "DT_STRING",
}
"""Feast's type -> TensorFlow's; an instant is text, ISO 8601 with a time zone."""
