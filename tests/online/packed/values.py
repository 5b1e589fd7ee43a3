"""Types of features and values of them, for tests that hold for all."""

from datetime import UTC
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from larder.online.packed.arrow_types import arrow_type
from larder.online.packed.types import BLOBS, FIXED_CODES, INSTANTS, LISTS, TEXTS, opened

PRIMITIVES = (*FIXED_CODES, *TEXTS, *BLOBS)
INT64 = st.integers(-(2**63), 2**63 - 1)
MAP_TYPES = {"map": pa.map_(pa.string(), pa.int64()), "scalar_map": pa.map_(pa.int64(), pa.list_(pa.float64()))}
MAPS = {
    "map": st.dictionaries(st.text(max_size=3), st.none() | INT64, max_size=3),
    "scalar_map": st.dictionaries(INT64, st.lists(st.none() | st.floats(), max_size=3), max_size=3),
}


def _wrapped(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Lists and structs of `part`."""
    lists = st.builds("{}<{}>".format, st.sampled_from(LISTS), part)
    return lists | st.lists(part, min_size=1, max_size=3).map(
        lambda parts: f"struct<{','.join(f'p{index}:{inner}' for index, inner in enumerate(parts))}>"
    )


DTYPES = (
    st.sampled_from(PRIMITIVES)
    | st.sampled_from(tuple(MAPS))
    | st.recursive(st.sampled_from(PRIMITIVES), _wrapped, max_leaves=4)
)
"""Names of types, all of them; lists, sets and structs also of one another."""


def values_of(dtype: str) -> st.SearchStrategy[Any]:
    """Values as the reader returns them, null elements included."""
    outer, inner = opened(dtype)
    if dtype in MAPS:
        return MAPS[dtype]
    if outer in LISTS:
        return st.lists(st.none() | values_of(inner[0]), max_size=4)
    if outer == "struct":
        names, _, types = zip(*(part.partition(":") for part in inner), strict=True)
        parts = st.tuples(*(st.none() | values_of(part) for part in types))
        return parts.map(lambda values: dict(zip(names, values, strict=True)))
    if dtype in INSTANTS:
        return st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(fold=0))
    if dtype in BLOBS:
        return st.binary(max_size=12)
    numbers = {
        "float64": st.floats(),
        "float32": st.floats(width=32),
        "int64": INT64,
        "int32": st.integers(-(2**31), 2**31 - 1),
        "bool": st.booleans(),
    }
    return numbers.get(dtype, st.text(max_size=12))


def column(values: list[Any], dtype: str) -> pa.Array:
    """Values as a Delta table would have them."""
    return pa.array(values, arrow_type(dtype) or MAP_TYPES[dtype])
