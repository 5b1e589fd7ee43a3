"""How much memory a process and all that it starts hold at most."""

import threading
from typing import Self

import psutil

SAMPLE_SECONDS = 0.25


class PeakMemory:
    """Samples the resident memory of a process and its descendants while the block runs."""

    def __init__(self, pid: int, *, every_seconds: float = SAMPLE_SECONDS) -> None:
        self.bytes = 0
        """Largest sum seen so far."""
        self._pid, self._seconds = pid, every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopped.wait(self._seconds):
            self.bytes = max(self.bytes, _resident_bytes(self._pid))


def _resident_bytes(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the reading
    return total
