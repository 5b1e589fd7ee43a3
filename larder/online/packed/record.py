"""The packed record: one entity's values of one feature view. Byte by byte in docs/record_format.md."""

import struct
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from larder.contracts.errors import ConfigurationError, DamagedRecordError, SchemaMismatchError
from larder.contracts.plan import ViewPlan
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.online.packed.types import FIXED_CODES, INSTANTS, POSSIBLE, cell_decoder, instant, is_storable

__all__ = [
    "CHECKSUM",
    "HEADER",
    "MAGIC",
    "MAX_BYTES",
    "STAMP_OFFSETS",
    "WHOLE",
    "Layout",
    "Record",
    "schema_mismatch",
]

MAGIC = b"LDR\x02"
"""Three letters and the format version."""

HEADER = struct.Struct("<4s8sqq")
"""Magic, schema fingerprint, event timestamp, known at; instants in microseconds since 1970, UTC."""

STAMP_OFFSETS = {EVENT_TIMESTAMP: 12, KNOWN_AT: 20}

CHECKSUM = struct.Struct("<I")
"""Ends a record: CRC-32 of all bytes before it."""

WHOLE = 0x2144DF1C
"""CRC-32 of any bytes that end with their own CRC-32."""

MAX_BYTES = 64 * 1024 * 1024
"""Of a record. Redis takes eight times as much, but serves nobody else while it does."""

BITMAPS_KEPT = 1_000
"""Combinations of nulls; nearly all records of a view have one of a few."""


class Record(NamedTuple):
    """A decoded record. Instants in microseconds since 1970, UTC; a null value is None."""

    event_timestamp: int
    known_at: int
    values: tuple[Any, ...]


class Layout:
    """Where everything lies in the records of one view, resolved once.

    Raises ConfigurationError for a feature whose type a record cannot hold.
    """

    def __init__(self, view: ViewPlan) -> None:
        for feature in view.features:
            if not is_storable(feature.dtype):
                raise ConfigurationError(
                    f"Feature {feature.name!r} of view {view.name!r} has type {feature.dtype}, which the online store "
                    f"cannot hold; it holds {', '.join(POSSIBLE)}. Change the type of the field."
                )
        dtypes = [feature.dtype for feature in view.features]
        self.view = view
        self.prefix = MAGIC + view.fingerprint
        self.bitmap_size = (len(dtypes) + 7) // 8
        codes = [FIXED_CODES.get(dtype, "I") for dtype in dtypes]
        self.codes = "".join(codes)
        self.struct = struct.Struct(f"<12sqq{self.bitmap_size}s{self.codes}")
        head = HEADER.size + self.bitmap_size
        self.offsets = [head + struct.calcsize("<" + "".join(codes[:index])) for index in range(len(codes))]
        self.fixed_size = self.struct.size
        self.variable = [index for index, dtype in enumerate(dtypes) if dtype not in FIXED_CODES]
        self._instants = [index for index, dtype in enumerate(dtypes) if dtype in INSTANTS]
        self._decoders = [(index, cell_decoder(dtypes[index])) for index in self.variable]
        self._no_nulls = bytes(self.bitmap_size)
        self.is_plain = not self.variable and not self._instants
        self.plain_size = self.fixed_size + CHECKSUM.size

    def decode(self, record: bytes) -> Record:
        """The record's content; values in the view's order.

        Raises SchemaMismatchError for a record of another schema, DamagedRecordError for anything that is
        not a whole record.
        """
        if len(record) < self.plain_size or not record.startswith(self.prefix) or crc32(record) != WHOLE:
            raise self.refusal(record)
        parts = self.struct.unpack_from(record)
        if self.is_plain and parts[3] == self._no_nulls and len(record) == self.plain_size:
            return Record(parts[1], parts[2], parts[4:])
        try:
            return Record(parts[1], parts[2], self._converted(record, parts[3], list(parts[4:])))
        except (OverflowError, ValueError, RecursionError):
            raise self.refusal(record) from None

    def _converted(self, record: bytes, bitmap: bytes, values: list[Any]) -> tuple[Any, ...]:
        """`values` as Python means them; ValueError for a record that is not whole."""
        nulls = int.from_bytes(bitmap, "little")
        start = self.fixed_size
        for index, decode in self._decoders:
            end = self.fixed_size + values[index]
            is_null = nulls >> index & 1
            if not start <= end <= len(record) or (is_null and start != end):
                raise ValueError
            values[index] = None if is_null else decode(record[start:end])
            start = end
        if start != len(record) - CHECKSUM.size or nulls >> len(values):
            raise ValueError
        for index in self._instants:
            values[index] = instant(values[index])
        for index in _places(nulls):
            values[index] = None
        return tuple(values)

    def refusal(self, record: bytes) -> DamagedRecordError | SchemaMismatchError:
        """What is wrong with bytes that are no record of this layout, and what to do."""
        again = f"Materialize view {self.view.name!r} again (`feast materialize-incremental` or `larder features`)."
        if len(record) < HEADER.size or not record.startswith(MAGIC):
            return DamagedRecordError(
                f"Redis holds {len(record)} bytes for view {self.view.name!r} that are no record of format "
                f"{MAGIC[-1]}. {again}"
            )
        if crc32(record) == WHOLE and not record.startswith(self.prefix):
            return schema_mismatch(self.view, stored=record[4:12].hex())
        # Its stamps may be damaged too, and then a later one would keep out what materialization writes.
        return DamagedRecordError(
            f"Redis holds a damaged record of view {self.view.name!r}. Put it right with `larder verify --repair`."
        )


def schema_mismatch(view: ViewPlan, *, stored: str) -> SchemaMismatchError:
    """Redis holds the view with the fingerprint `stored` (hex), and somebody wants to read it as `view`."""
    return SchemaMismatchError(
        f"Redis holds view {view.name!r} with schema {stored}, but the plan in use has {view.fingerprint.hex()}, of "
        f"the fields {', '.join(feature.name for feature in view.features)}: the view's fields changed. If its "
        "definition has these fields, run `larder features` or `feast materialize-incremental`. If it has others now, "
        "a model that was trained on these cannot read them any more: run `larder train` and `larder promote`, or "
        "give the view its former fields back and materialize it."
    )


@lru_cache(BITMAPS_KEPT)
def _places(bits: int) -> list[int]:
    """Of the bits that are set."""
    return [place for place in range(bits.bit_length()) if bits >> place & 1]
