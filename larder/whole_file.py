"""Writing a file whole or not at all, so that no reader ever sees half of it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` in one step, its folder made; not forced to disk, so that a power cut may undo it."""
    with in_place_of(path) as partial:
        partial.write_bytes(data)


def write_durably(path: Path, data: bytes) -> None:
    """As `write_whole`, and on disk when this returns."""
    with in_place_of(path) as partial:
        write_synced(partial, data)
    folder = os.open(path.parent, os.O_RDONLY)  # which holds the new name
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A file beside `path`, whose folder is made, to be written in the block; then it takes the place of `path`.

    Where the block fails `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")  # another writer has one of its own
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_synced(path: Path, data: bytes) -> None:
    """A file that nobody reads yet; on disk when this returns."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
