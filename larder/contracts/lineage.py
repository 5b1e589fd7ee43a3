"""How a training run names the table versions that it read, for whoever must keep or read them again."""

import ast
from collections.abc import Mapping

import msgspec

from larder.contracts.errors import InvalidDataError

TABLES_TAG = "larder.tables"
"""Tag of an MLflow run: table (relative to the lake, else its place) -> Delta version."""


def encoded_tables(tables: Mapping[str, int]) -> str:
    return msgspec.json.encode(dict(sorted(tables.items()))).decode()


def decoded_tables(text: str, *, where: str) -> dict[str, int]:
    """The tag's content; the first models were logged with Python's notation instead of JSON's."""
    try:
        read = ast.literal_eval(text) if "'" in text else msgspec.json.decode(text)
        return msgspec.convert(read, dict[str, int])
    except (ValueError, SyntaxError, msgspec.MsgspecError) as problem:
        raise InvalidDataError(
            f"{where} has the tag {TABLES_TAG} = {text[:80]!r}, which is no list of table versions ({problem}). "
            "Somebody changed it; restore it, or delete that model version."
        ) from None
