"""The records that request rows find in several views, laid end to end and decoded together."""

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from operator import lt
from typing import Any, NamedTuple
from zlib import crc32

from larder.online.packed.record import CHECKSUM, HEADER, Layout

COUNTS_KEPT = 1_000
"""Sizes of batches whose checksum is remembered; nearly all requests have one of a few."""


class Rows(NamedTuple):
    """Rows of values, and where they mean nothing."""

    values: list[tuple[Any, ...]]
    """Per row the values of all views, one view after the other."""
    special: list[tuple[int, int]]
    """Row and view of each record that has a null, is absent, too old, damaged or of another schema; perhaps twice.
    The caller decodes these by themselves. If one is damaged, all are here."""


class RowLayout:
    """Where everything lies in the joined records of views that are `is_plain`."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self._absent = [_whole(bytes(layout.fixed_size)) for layout in layouts]
        self._row = b"".join(self._absent)
        self._values = struct.Struct("<" + "".join(f"{_head(each)}x{each.codes}{CHECKSUM.size}x" for each in layouts))
        self._events = struct.Struct("<" + "".join(f"12xq{each.plain_size - 20}x" for each in layouts))
        self._marks = struct.Struct(
            "<" + "".join(f"12s16x{each.bitmap_size}s{each.plain_size - _head(each)}x" for each in layouts)
        )
        self._usual_marks = tuple(chain.from_iterable((each.prefix, bytes(each.bitmap_size)) for each in layouts))
        self.nulls = (None,) * len(self._values.unpack(self._row))
        # The checksum of whole records laid end to end depends on their lengths alone. So one over all of them finds
        # the same errors as one each, and costs an eighth.
        self._checksum = lru_cache(COUNTS_KEPT)(lambda count: crc32(self._row * count))

    def decode(self, count: int, columns: Sequence[Sequence[bytes | None]], oldest: Sequence[float]) -> Rows:
        """`count` rows, given the record of each per view, None where there is none.

        Per view a record whose event timestamp is before `oldest` is too old.
        """
        whole = [
            [absent if record is None else record for record in column] if None in column else column
            for column, absent in zip(columns, self._absent, strict=True)
        ]
        joined = b"".join(chain.from_iterable(zip(*whole, strict=True)))
        if not joined or len(joined) != len(self._row) * count or crc32(joined) != self._checksum(count):
            return Rows([self.nulls] * count, [(row, view) for view in range(len(columns)) for row in range(count)])
        values = list(self._values.iter_unpack(joined))
        return Rows(values, self._unusual(joined) + self._too_old(joined, oldest))

    def _unusual(self, joined: bytes) -> list[tuple[int, int]]:
        """Records with another prefix than their view's, or with nulls."""
        usual = self._usual_marks
        return [
            (row, place // 2)  # each view has two: prefix and bitmap
            for row, marks in enumerate(self._marks.iter_unpack(joined))
            if marks != usual
            for place, mark in enumerate(marks)
            if mark != usual[place]
        ]

    def _too_old(self, joined: bytes, oldest: Sequence[float]) -> list[tuple[int, int]]:
        by_view = list(zip(*self._events.iter_unpack(joined), strict=True))
        if not any(map(lt, map(min, by_view), oldest)):
            return []
        return [
            (row, view)
            for view, events in enumerate(by_view)
            for row, event_timestamp in enumerate(events)
            if event_timestamp < oldest[view]
        ]


def _head(layout: Layout) -> int:
    """Bytes before the first value."""
    return HEADER.size + layout.bitmap_size


def _whole(body: bytes) -> bytes:
    """The record with its checksum."""
    return body + CHECKSUM.pack(crc32(body))
