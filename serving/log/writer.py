"""The process beside a server that stores its spooled answers in the prediction log: `python -m serving.log.writer`.

It works at a low priority, looks for new rows every few seconds, and ends when its server has ended or died. Each look
also stores spools that other servers left: killed ones, or those that ended while the table could not be written.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from serving.log.spool import Record, SpoolReader, left_spools

SECONDS_TO_FLUSH = 10.0
"""How long the rows of a server that ended are tried for; what is not stored by then waits for the next server."""
_SECONDS_BETWEEN_TRIES = 0.5
_NICE = 10

Store = Callable[[str, Sequence[Record]], int]
"""Stores records of the spool of that name, each once however often it is called; gives the rows that are lost."""


class Report(msgspec.Struct):
    """What came of a step, as one line of JSON on standard output."""

    position: int
    """Rows of the server's own spool that are stored or lost, since its beginning."""
    adopted: int = 0
    """Rows of another spool that the step stored or lost."""
    lost: int = 0
    """Rows among the step's that cannot be stored: torn, damaged, or with a value that fits no column."""
    failed: int = 0
    """1 where the step failed; it will be tried again."""


Tell = Callable[[Report], None]


class LogWriter:
    """Stores the spool in the folder `own`, whose lock this process inherited, and those that were left beside it."""

    def __init__(self, own: Path, store: Store, tell: Tell) -> None:
        self._root = own.parent
        self._store = store
        self._tell = tell
        self._own = _Transfer(SpoolReader(own), store)
        self._troubles: dict[Path, type[Exception]] = {}

    def has_spool(self) -> bool:
        """False once somebody has removed the folder under the server."""
        return self._own.spool.folder.is_dir()

    def look(self) -> None:
        """Store what is there by now, and what was left by others."""
        self._stored(self._own)
        for spool in left_spools(self._root):
            left = _Transfer(spool, self._store)
            if self._stored(left):
                self._remove(left)

    def finish(self) -> None:
        """Store all and remove the spool, whose server has ended."""
        deadline = time.monotonic() + SECONDS_TO_FLUSH
        while not self._stored(self._own):
            if time.monotonic() > deadline:
                return
            time.sleep(_SECONDS_BETWEEN_TRIES)
        self._remove(self._own)

    def _stored(self, transfer: "_Transfer") -> bool:
        """Whether all of the spool that is there could be stored."""
        try:
            while transfer.step():
                self._report(transfer)
        except Exception as problem:  # whatever the storage's trouble is, the rows wait for the next try
            self._fail(transfer, problem)
            return False
        self._report(transfer)
        self._troubles.pop(transfer.spool.folder, None)
        return True

    def _remove(self, transfer: "_Transfer") -> None:
        """Of a spool that is stored, and to which nobody appends any more."""
        if transfer.spool.has_torn_end():
            transfer.lose_one()  # of how many rows it was is not known
            self._report(transfer)
        try:
            transfer.spool.remove()
        except OSError as problem:
            self._fail(transfer, problem)

    def _fail(self, transfer: "_Transfer", problem: Exception) -> None:
        self._report(transfer, failed=1)
        folder = transfer.spool.folder
        if self._troubles.get(folder) is not type(problem):  # told once, counted every time
            print(f"The prediction log waits in {folder}: {problem}", file=sys.stderr, flush=True)
        self._troubles[folder] = type(problem)

    def _report(self, transfer: "_Transfer", *, failed: int = 0) -> None:
        rows, lost = transfer.news()
        adopted = 0 if transfer is self._own else rows
        self._tell(Report(self._own.position, adopted, lost, failed))


class _Transfer:
    """One spool on its way into the table."""

    def __init__(self, spool: SpoolReader, store: Store) -> None:
        self.spool = spool
        self.position = 0
        """Rows of the spool that are stored or lost."""
        self._store = store
        self._unstored: Sequence[Record] = ()
        self._done = self._lost = 0
        self._told = 0, 0

    def step(self) -> bool:
        """Store what is there of one segment; whether there are more. Raises whatever the storage raises.

        What a server appends meanwhile to its last segment is left to the next look: else each would be a small one
        without an end.
        """
        is_retried = bool(self._unstored)
        if records := self._unstored or self.spool.read():
            self._unstored = records
            self._lost += self._store(self.spool.folder.name, records)
            self._unstored, self.position, self._done = (), records[-1].end, self.spool.taken
            self.spool.forget_read()
        return is_retried or self.spool.has_further_segments()

    def lose_one(self) -> None:
        self._done += 1
        self._lost += 1

    def news(self) -> tuple[int, int]:
        """Rows stored or lost, and rows lost, since this was asked before."""
        before, self._told = self._told, (self._done, self._lost + self.spool.lost)
        return self._told[0] - before[0], self._told[1] - before[1]


def main() -> None:
    own, place, seconds = sys.argv[1:]
    os.nice(_NICE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal's or a service's to all its processes: the server ends first
    writer = LogWriter(Path(own), _storing(place), _tell)
    while writer.has_spool():
        writer.look()
        # Nothing is ever sent: standard input becomes readable when its other end is closed, as by a kill.
        if select.select([sys.stdin], [], [], float(seconds))[0]:
            break
    if writer.has_spool():
        writer.finish()


def _storing(place: str) -> Store:
    """Imports what it needs with the first rows: next to a server that nobody asks, this process is small."""
    table = None

    def store(spool: str, records: Sequence[Record]) -> int:
        nonlocal table
        if table is None:
            from serving.log.prediction_table import PredictionTable

            table = PredictionTable(place)
        return table.store(spool, records)

    return store


def _tell(report: Report) -> None:
    with suppress(OSError):  # the server is gone; its rows are stored nevertheless
        os.write(sys.stdout.fileno(), msgspec.json.encode(report) + b"\n")


if __name__ == "__main__":
    main()
