"""The packed record: one entity's values of one feature view. Byte by byte in docs/record_format.md."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from larder.contracts.errors import ConfigurationError, OnlineStoreError, SchemaMismatchError
from larder.contracts.plan import ViewPlan

MAGIC = b"LDR\x01"
"""Three letters and the format version."""

HEADER = struct.Struct("<4s8sqq")
"""Magic, schema fingerprint, event timestamp, known at; instants in microseconds since 1970, UTC."""

FIXED_CODES = {"float64": "d", "float32": "f", "int64": "q", "int32": "i", "bool": "?", "unix_timestamp": "q"}
VARIABLE_TYPES = ("string", "bytes")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
            if feature.dtype not in (*FIXED_CODES, *VARIABLE_TYPES):
                raise ConfigurationError(
                    f"Feature {feature.name!r} of view {view.name!r} has type {feature.dtype}, which the online store "
                    f"cannot hold; it holds {', '.join((*FIXED_CODES, *VARIABLE_TYPES))}. Change the type of the field."
                )
        self.view = view
        self.prefix = MAGIC + view.fingerprint
        self.bitmap_size = (len(view.features) + 7) // 8
        self.codes = [FIXED_CODES.get(feature.dtype, "I") for feature in view.features]
        self.struct = struct.Struct(f"<12sqq{self.bitmap_size}s{''.join(self.codes)}")
        head = HEADER.size + self.bitmap_size
        self.offsets = [head + struct.calcsize("<" + "".join(self.codes[:index])) for index in range(len(self.codes))]
        self.fixed_size = self.struct.size
        self.variable = [index for index, feature in enumerate(view.features) if feature.dtype in VARIABLE_TYPES]
        self.timestamps = [i for i, feature in enumerate(view.features) if feature.dtype == "unix_timestamp"]
        self._no_nulls = bytes(self.bitmap_size)
        self._is_plain = not self.variable and not self.timestamps

    def decode(self, record: bytes) -> Record:
        """The record's content; values in the view's order.

        Raises SchemaMismatchError for a record of another schema, OnlineStoreError for anything that is
        not a whole record.
        """
        if len(record) < self.fixed_size or not record.startswith(self.prefix):
            raise self._refusal(record)
        parts = self.struct.unpack_from(record)
        if self._is_plain and parts[3] == self._no_nulls and len(record) == self.fixed_size:
            return Record(parts[1], parts[2], parts[4:])
        return Record(parts[1], parts[2], self._converted(record, parts[3], list(parts[4:])))

    def _converted(self, record: bytes, bitmap: bytes, values: list[Any]) -> tuple[Any, ...]:
        start = self.fixed_size
        try:
            for index in self.timestamps:
                values[index] = EPOCH + timedelta(microseconds=values[index])
            for index in self.variable:
                end = self.fixed_size + values[index]
                if not start <= end <= len(record):
                    raise self._refusal(record)
                text = record[start:end]
                values[index] = text.decode() if self.view.features[index].dtype == "string" else text
                start = end
        except (OverflowError, UnicodeDecodeError):
            raise self._refusal(record) from None
        if start != len(record):
            raise self._refusal(record)
        nulls = int.from_bytes(bitmap, "little")
        return tuple(None if nulls >> index & 1 else value for index, value in enumerate(values))

    def _refusal(self, record: bytes) -> OnlineStoreError | SchemaMismatchError:
        again = f"Materialize view {self.view.name!r} again (`larder features`)."
        if len(record) < HEADER.size or not record.startswith(MAGIC):
            return OnlineStoreError(
                f"Redis holds {len(record)} bytes for view {self.view.name!r} that are no record of format "
                f"{MAGIC[-1]}. {again}"
            )
        if not record.startswith(self.prefix):
            return SchemaMismatchError(
                f"Redis holds view {self.view.name!r} with schema {record[4:12].hex()}, but the plan in use has "
                f"{self.prefix[4:].hex()}: the view's fields changed. {again}"
            )
        return OnlineStoreError(f"Redis holds a damaged record of view {self.view.name!r}. {again}")
