"""One at a time: a lock that a process holds on a file and loses when it ends, however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from larder.contracts.errors import InvalidDataError


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`. Raises InvalidDataError at once while another process, or block, holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidDataError(
                f"Another {what} is running and holds {path}. Wait for it to end, then try again."
            ) from None
        yield
