"""One process at a time, on one machine; a killed process holds nothing."""

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from larder.contracts.errors import BusyError


def only_one_ingestion(state: Path) -> AbstractContextManager[None]:
    """For whoever writes bronze, silver and label tables; `state` is the project's state folder."""
    return only_one(state / "ingest.lock", "ingestion")


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` for the block. Raises BusyError while another holds it; `what` names its work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"Another {what} is running on {path.parent}. Wait for it to end, then try again."
            ) from None
        yield
