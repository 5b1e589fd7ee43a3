"""Request bodies: decoded strictly against the champion's feature plan, or refused with the field named."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import Feature, FeaturePlan

MAX_ROWS = 1_000
MAX_BODY_BYTES = 1_000_000
MAX_TEXT_LENGTH = 1_000
"""Characters in one text field."""

Row = dict[str, Any]
Decode = Callable[[bytes], list[Row]]

_LONGEST_REASON = 300  # a reason can quote the caller's own text

_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: dict[str, Any] = {
    "string": _Text,
    "bool": bool,
    "int32": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    "int64": _Integer,
    "float32": float,
    "float64": float,
    "unix_timestamp": Annotated[datetime, msgspec.Meta(tz=True)],
}


def decoder(plan: FeaturePlan) -> Decode:
    """A function from a body `{"rows": [{...}, ...]}` to its rows; timestamps come out as datetimes with a zone.

    Every key and request field must be there with its type, or null. No stored value matches a null key; what a null
    request field means the on-demand views say, as they did for the labels in training. The function raises
    InvalidDataError and names the row and field.
    """
    fields = [_field(item, f"field_{i}") for i, item in enumerate(plan.request)]
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True)
    names = [item.name for item in plan.request]
    rows = Annotated[list[row], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]  # type: ignore[valid-type]
    body: Any = msgspec.defstruct("Body", [("rows", rows)], forbid_unknown_fields=True)
    strict = msgspec.json.Decoder(body)

    def decode(data: bytes) -> list[Row]:
        try:
            decoded = strict.decode(data)
            # msgspec keeps the last of two equal keys. What it accepted is small, flat and well typed, so
            # that the standard parser can look for them safely.
            _KEYS.decode(data.decode())
        except InvalidDataError:
            raise
        except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
            reason = str(problem)[:_LONGEST_REASON]
            raise InvalidDataError(f"The request cannot be used: {reason}. {_expected(plan)}") from problem
        return [dict(zip(names, msgspec.structs.astuple(item), strict=True)) for item in decoded.rows]

    return decode


def _field(item: Feature, attribute: str) -> tuple[str, Any, Any]:
    if item.dtype not in _TYPES:
        raise InvalidDataError(
            f"The request field {item.name!r} has type {item.dtype}; requests can carry {', '.join(_TYPES)}."
        )
    # The attribute is ours and the name in JSON theirs, since a feature's name need not be a Python name.
    return attribute, _TYPES[item.dtype] | None, msgspec.field(name=item.name)


def _unique_keys(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidDataError(
            f"The request names {twice[:MAX_TEXT_LENGTH]!r} twice in one object; each field belongs there once."
        )


_KEYS = json.JSONDecoder(object_pairs_hook=_unique_keys)


def _expected(plan: FeaturePlan) -> str:
    fields = ", ".join(f"{item.name} ({item.dtype})" for item in plan.request)
    form = f'A request is {{"rows": [{{...}}]}} with {fields} in each row'
    return f"{form}, null where unknown, timestamps as ISO 8601 with a time zone."
