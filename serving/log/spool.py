"""A spool: rows that one process appends to local files and another one reads, in order; a kill of either loses none.

    <root>/<id>/lock             held by the processes that append and read; killed ones hold nothing
    <root>/<id>/<position>.rows  a segment, named by the number of rows before it in this spool

A segment is a sequence of frames: checksum, length, number of the description, rows, and the payload. A frame
of no rows is a description: what readers must know of the frames with its number, so that each segment can be read by
itself. Nothing is forced to disk: a power cut can lose the last half minute, a killed process nothing.
"""

import fcntl
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

SEGMENT_BYTES = 8_000_000
"""A segment that has reached it is followed by another; readers remove whole segments."""
_LOCK, _SUFFIX = "lock", ".rows"
_CHECKSUM, _HEADER = struct.Struct("<I"), struct.Struct("<III")
_SMALLEST = _CHECKSUM.size + _HEADER.size


@dataclass(frozen=True)
class Record:
    """One payload, as it was appended."""

    payload: bytes
    about: bytes
    """Its description."""
    end: int
    """Rows of the spool up to and with this record's."""


class Spool:
    """The side that appends. One thread at a time; each `append` is one write, and nothing waits in memory."""

    def __init__(self, root: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Make a new spool under `root`. Raises OSError."""
        name = secrets.token_hex(8)
        self.folder = root / name
        # Under a name that nobody looks at, until the lock is held: an unlocked spool is anybody's.
        hidden = root / f".{name}"
        hidden.mkdir(parents=True)
        self.lock = os.open(hidden / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        hidden.rename(self.folder)
        self.rows = 0
        """Rows appended so far."""
        self._segment_bytes = segment_bytes
        self._file: int | None = None
        self._size = 0
        self._numbers: dict[bytes, int] = {}

    def append(self, payload: bytes, about: bytes, rows: int) -> int:
        """Append `rows` rows, at least one, with their description; gives the bytes that they take.

        Raises OSError when they could not be written whole; then nothing was appended.
        """
        if self._file is None or self._size >= self._segment_bytes:
            self._next_segment()
        assert self._file is not None
        number = self._numbers.get(about)
        frame = b""
        if number is None:
            number = len(self._numbers)
            frame = _frame(about, number, 0)
        frame += _frame(payload, number, rows)
        written = os.write(self._file, frame)
        if written < len(frame):
            self._end_segment()
            raise OSError(f"Only {written} of {len(frame)} bytes could be written to {self.folder}")
        self._numbers[about] = number
        self._size += written
        self.rows += rows
        return written

    def close(self) -> None:
        """Append no more. The spool stays locked while another process holds the lock that it inherited."""
        self._end_segment()
        os.close(self.lock)

    def _next_segment(self) -> None:
        self._end_segment()
        # It exists already where a write to it failed before a row was in it.
        flags = os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
        self._file = os.open(self.folder / f"{self.rows:020d}{_SUFFIX}", flags, 0o600)

    def _end_segment(self) -> None:
        """What a failed write left at the end counts for nothing, since the next segment begins before it."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._size, self._numbers = None, 0, {}


class SpoolReader:
    """The side that reads, in another process or after the one that appended has died."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken = 0
        """Rows that were read or found lost."""
        self.lost = 0
        """Rows that were appended and cannot be read: the file was damaged."""
        self._position = 0
        self._segment = -1
        self._offset = 0
        self._descriptions: dict[int, bytes] = {}

    def read(self) -> list[Record]:
        """Further records of one segment; empty when there are none at present. Raises OSError."""
        while True:
            # Listed before it is read: a segment that has a follower gets no more frames.
            follower = min((start for start in self._starts() if start > self._segment), default=None)
            if self._segment >= 0 and (records := self._read_segment()):
                return records
            if follower is None:
                return []
            if self._segment >= 0:
                self.lost += follower - self._position
                self.taken += follower - self._position
            self._segment, self._position, self._offset, self._descriptions = follower, follower, 0, {}

    def has_further_segments(self) -> bool:
        """Whether the one that was read last is not the last there is."""
        return any(start > self._segment for start in self._starts())

    def has_torn_end(self) -> bool:
        """Whether behind all records there are bytes that are none: what a killed process was just appending."""
        return self._segment >= 0 and self._path(self._segment).stat().st_size > self._offset

    def forget_read(self) -> None:
        """Remove the segments before the one that was read last. Raises OSError."""
        for start in self._starts():
            if start < self._segment:
                self._path(start).unlink()

    def remove(self) -> None:
        """Remove the spool and all that it holds. Raises OSError."""
        for start in self._starts():
            self._path(start).unlink()
        (self.folder / _LOCK).unlink()
        self.folder.rmdir()

    def _read_segment(self) -> list[Record]:
        with open(self._path(self._segment), "rb") as file:
            file.seek(self._offset)
            data = file.read()
        records, offset, before = [], 0, self._position
        while offset + _SMALLEST <= len(data):
            length, number, rows = _HEADER.unpack_from(data, offset + _CHECKSUM.size)
            summed = data[offset + _CHECKSUM.size : offset + _SMALLEST + length]
            if _CHECKSUM.unpack_from(data, offset)[0] != crc32(summed):
                break
            offset, payload = offset + _SMALLEST + length, summed[_HEADER.size :]
            if rows == 0:
                self._descriptions[number] = payload
                continue
            self._position += rows
            records.append(Record(payload, self._descriptions[number], self._position))
            # Not behind a description: where its rows could not be written, it is written again.
            consumed = offset
        if records:
            self._offset += consumed
            self.taken += self._position - before
        return records

    def _starts(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.iterdir() if path.suffix == _SUFFIX)

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:020d}{_SUFFIX}"


def left_spools(root: Path) -> Iterator[SpoolReader]:
    """The spools under `root` whose processes have all died, each locked until the next one is asked for."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith("."):
            continue
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # no spool, or removed by who held it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder may have removed the spool between the opening and the locking.
            if (folder / _LOCK).exists():
                yield SpoolReader(folder)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def spooled_bytes(root: Path) -> int:
    """Bytes of all segments under `root`."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):  # just removed by its reader
                total += Path(folder, name).stat().st_size
    return total


def _frame(payload: bytes, number: int, rows: int) -> bytes:
    summed = _HEADER.pack(len(payload), number, rows) + payload
    return _CHECKSUM.pack(crc32(summed)) + summed
