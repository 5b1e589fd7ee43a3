"""Types of features as a plan names them: `float64`, `array<int64>`, `struct<size:int64,tags:set<string>>`.

Names of a struct's fields are percent-encoded, as in a URL. Free of Feast and Arrow: the serving path decodes with it.
"""

import sys
from array import array
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from larder.contracts.clock import EPOCH

INSTANTS = ("unix_timestamp", "zoned_timestamp")
"""Microseconds since 1970, UTC."""
FIXED_CODES = {"float64": "d", "float32": "f", "int64": "q", "int32": "i", "bool": "?"} | dict.fromkeys(INSTANTS, "q")
"""Types of fixed width -> code of the module `struct`."""
TEXTS = ("string", "json", "uuid", "time_uuid", "decimal")
BLOBS = ("bytes", "pdf_bytes", "image_bytes")
MAPS = ("map", "scalar_map")
LISTS = ("array", "set")
POSSIBLE = (*FIXED_CODES, *TEXTS, *BLOBS, *MAPS, "array<...>", "set<...>", "struct<name:...>")

RAW = b"\0"
"""Begins a list whose elements lie as they are; no list in MessagePack begins with it."""

Decoder = Callable[[bytes], Any]


def is_storable(dtype: str) -> bool:
    """Whether a record can hold it. A scalar_map has no one type, so it cannot be part of another type."""
    return dtype == "scalar_map" or _is_part(dtype)


def opened(dtype: str) -> tuple[str, list[str]]:
    """The outer name and what its brackets hold: `struct<a:int64,b:set<bool>>` is struct, [a:int64, b:set<bool>]."""
    outer, bracket, inner = dtype.partition("<")
    if not bracket:
        return outer, []
    parts, depth = [""], 0
    for character in inner.removesuffix(">"):
        depth += (character == "<") - (character == ">")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return outer, parts


def element_type(dtype: str) -> str | None:
    """Type of the elements of a list of fixed-width values; None for every other type."""
    outer, inner = opened(dtype)
    return inner[0] if outer in LISTS and inner[0] in FIXED_CODES else None


def cell_decoder(dtype: str) -> Decoder:
    """From the bytes of a variable-width value to Python.

    A set is a list, in stored order, as offline. The function raises ValueError, OverflowError or RecursionError
    for bytes that are no such value.
    """
    if dtype in TEXTS:
        return bytes.decode
    if dtype in BLOBS:
        return bytes
    element, outer = element_type(dtype), opened(dtype)[0]
    packed = msgspec.msgpack.Decoder(list if outer in LISTS else dict).decode
    return packed if element is None else partial(_list, packed, element)


def instant(count: int) -> datetime:
    """So many microseconds after 1970, UTC."""
    return EPOCH + timedelta(microseconds=count)


def _list(packed: Decoder, element: str, cell: bytes) -> list[Any]:
    if not cell.startswith(RAW):  # some element is null
        items: list[Any] = packed(cell)
        return items
    if element == "bool":
        return [byte != 0 for byte in cell[1:]]
    elements = array(FIXED_CODES[element], cell[1:])
    if sys.byteorder == "big":
        elements.byteswap()
    return [instant(item) for item in elements] if element in INSTANTS else elements.tolist()


def _is_part(dtype: str) -> bool:
    outer, inner = opened(dtype)
    if not inner:
        return dtype in (*FIXED_CODES, *TEXTS, *BLOBS, "map")
    if not dtype.endswith(">"):
        return False
    if outer == "struct":
        return all(_is_part(part.partition(":")[2]) for part in inner)
    return outer in LISTS and len(inner) == 1 and _is_part(inner[0])
