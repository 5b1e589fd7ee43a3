"""The same values by rows and by columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from larder.contracts.errors import InvalidDataError


def in_rows(columns: Any, form: str) -> list[dict[str, Any]]:
    """Rows of `{name: [value, ...]}`. Raises InvalidDataError, with the `form` expected, where that is none."""
    if not isinstance(columns, Mapping) or not columns or not all(isinstance(item, list) for item in columns.values()):
        raise InvalidDataError(f"`inputs` is no object of lists. {form}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidDataError(f"`inputs` has columns of different lengths: {lengths}. {form}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def in_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """All rows have the names of the first."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
