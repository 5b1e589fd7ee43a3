"""Both ends of what is known of a ledger's newest entry: its last line, and the head that lies beside the file."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from larder.contracts.errors import InvalidDataError
from larder.ledger.entry import GENESIS
from larder.whole_file import write_durably

_BLOCK = 64 * 1024


class Head(msgspec.Struct, frozen=True):
    """The newest entry that was acknowledged."""

    number: int
    hash: str


NOTHING = Head(0, GENESIS)
"""The head of a ledger without entries."""


@dataclass(frozen=True)
class LastLine:
    text: bytes
    """Without its end."""
    end: int
    """Bytes of the file up to and with the line's end; behind it only what a kill left half-written."""


def last_line(path: Path) -> LastLine | None:
    """The newest whole line, read from the end of the file, however long that is; None when there is none."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        start, read = file.seek(0, os.SEEK_END), b""
        while start > 0 and read.count(b"\n") < 2:
            block = min(_BLOCK, start)
            start = file.seek(start - block)
            read = file.read(block) + read
    end = read.rfind(b"\n")
    if end < 0:
        return None
    return LastLine(read[:end].rpartition(b"\n")[2], start + end + 1)


def read_head(path: Path) -> Head | None:
    """None when there is no such file. Raises InvalidDataError when it is damaged."""
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except msgspec.DecodeError as problem:
        raise InvalidDataError(f"{path} is damaged: {problem}.") from None


def write_head(path: Path, head: Head) -> None:
    """On disk when this returns."""
    write_durably(path, msgspec.json.encode(head))
