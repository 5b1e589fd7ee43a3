"""The Open Inference Protocol, version 2, over REST: one tensor per key and request field, one value per row.

https://github.com/kserve/open-inference-protocol
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, Literal

import msgspec

from larder.contracts.answer import Answer
from larder.contracts.bundle import Manifest
from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import FeaturePlan
from serving.protocols.columns import in_columns, in_rows

FORM = (
    'A request is {"inputs": [{"name": ..., "shape": [rows], "datatype": ..., "data": [...]}, ...]} with one tensor '
    "per field that GET /v2/models/<model> lists."
)
DATATYPES = {
    "string": "BYTES",
    "bool": "BOOL",
    "int32": "INT32",
    "int64": "INT64",
    "float32": "FP32",
    "float64": "FP64",
    "unix_timestamp": "BYTES",
}
"""Feast's type -> the protocol's; an instant is text, ISO 8601 with a time zone."""


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: Literal["BOOL", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"]
    data: list[Any]
    """Flat or nested; null for what the caller does not know."""
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class Asked(msgspec.Struct):
    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] = []
    """Empty for all."""
    parameters: dict[str, Any] = {}

    def rows(self) -> list[dict[str, Any]]:
        """Not checked yet against what the model needs."""
        return in_rows({tensor.name: _flat(tensor) for tensor in self.inputs}, FORM)


def asked(body: bytes) -> Asked:
    """Raises InvalidDataError for a body that is no inference request."""
    try:
        request = msgspec.json.decode(body, type=Asked)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise InvalidDataError(f"The request cannot be used: {str(problem)[:300]}. {FORM}") from problem
    names = [tensor.name for tensor in request.inputs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidDataError(f"`inputs` holds {twice} more than once. {FORM}")
    return request


def answered(
    predictions: Sequence[dict[str, Any]], request: Asked, manifest: Manifest, answer: Answer, *, id: str
) -> dict[str, Any]:
    """Raises InvalidDataError for an output that does not exist. Names of features are joined by commas."""
    columns, datatypes = in_columns(predictions), dict(_outputs(manifest, answer))
    wanted = [output.name for output in request.outputs] or list(datatypes)
    if unknown := sorted(set(wanted) - set(datatypes)):
        raise InvalidDataError(f"There are no outputs {unknown}; there are {list(datatypes)}.")
    return {
        "model_name": manifest.model,
        "model_version": manifest.version,
        "id": request.id or id,
        "outputs": [_tensor(name, datatypes[name], columns[name]) for name in wanted],
    }


def server_metadata() -> dict[str, Any]:
    return {"name": "larder", "version": version("larder"), "extensions": []}


def model_metadata(manifest: Manifest, plan: FeaturePlan, answer: Answer) -> dict[str, Any]:
    """Every tensor has one value per row."""
    fields = plan.request
    return {
        "name": manifest.model,
        "versions": [manifest.version],
        "platform": f"larder_{manifest.runtime}",
        "inputs": [{"name": item.name, "datatype": DATATYPES[item.dtype], "shape": [-1]} for item in fields],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in _outputs(manifest, answer)
        ],
    }


def _outputs(manifest: Manifest, answer: Answer) -> Iterator[tuple[str, str]]:
    if manifest.threshold is None:
        yield answer.prediction, "FP64"
    else:
        yield answer.probability, "FP64"
        yield answer.decision, "BOOL"
    for name in ("confidence", "missing", "stale", "out_of_bounds"):
        yield name, "BYTES"


def _flat(tensor: Tensor) -> list[Any]:
    """Raises InvalidDataError unless the tensor has one value per row, as its shape says."""
    size, *rest = tensor.shape or [0]
    data = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in tensor.data]
    if any(length != 1 for length in rest) or size != len(data):
        raise InvalidDataError(
            f"Tensor {tensor.name!r} has shape {tensor.shape} and {len(data)} values; one value per row is needed, "
            f"so [{len(data)}] or [{len(data)}, 1]."
        )
    return data


def _tensor(name: str, datatype: str, values: list[Any]) -> dict[str, Any]:
    data = [",".join(value) if isinstance(value, list) else value for value in values]
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data}
