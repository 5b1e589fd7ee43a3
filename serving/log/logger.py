"""From answers to the prediction log: each is spooled before it is given, and a process beside this one stores it."""

import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from larder.contracts.plan import FeaturePlan
from larder.contracts.tables import LIVE
from serving.log.prediction_log import LoggedAnswer, description, entry
from serving.log.spool import SEGMENT_BYTES, Spool, spooled_bytes
from serving.log.writer import Report
from serving.log.writer_process import WriterProcess
from serving.models.model import Model

MAX_BYTES = 1_000_000_000
"""What the spools of a model may take on disk, as they do while its table cannot be written."""
SECONDS_BETWEEN_WRITES = 5.0
_SEGMENTS = 16
"""Into so many the bytes are divided at least: what is stored can only be removed in whole segments."""
_LOG = logging.getLogger(__name__)


class PredictionLogger:
    """A spool under the folder `spools`, and the process that empties it into the Delta table at `table`.

    `start` before `log`; `close` waits until all is stored. A spool that outlives its processes is stored by those of
    the next logger with the same `spools`.
    """

    def __init__(
        self, spools: Path, table: str, *, seconds: float = SECONDS_BETWEEN_WRITES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._spools = spools
        self._max_bytes = max_bytes
        self._room = 0
        self._spool: Spool | None = None
        self._stored = 0
        self._is_closed = False
        self._lock = threading.Lock()
        self._writer = WriterProcess(self._present_spool, table, seconds, self._take)
        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._described: dict[str, tuple[Model, FeaturePlan | None, bytes]] = {}
        self.written = self.dropped = self.failed_writes = 0
        """Rows stored in the table, rows lost, writes that failed and are tried again."""

    @property
    def waiting(self) -> int:
        """Rows spooled by this logger that are not stored yet."""
        return 0 if self._spool is None else self._spool.rows - self._stored

    def start(self) -> None:
        """Where no spool can be made, rows are dropped until one can."""
        self._present_spool()
        self._writer.start()

    def log(self, answer: LoggedAnswer) -> None:
        """Spool an answer. What cannot be spooled is counted in `dropped`; it is never an error.

        For shadow rows the spool is full at half its size: they may not crowd out what callers were told.
        """
        try:
            about, payload = self._description(answer), self._encode(entry(answer))
        except (TypeError, ValueError, OverflowError) as problem:  # an on-demand view may give any object
            _LOG.warning("An answer of %s cannot be logged: %s", answer.model.manifest.model, problem)
            about, payload = b"", b""
        rows, kept_free = len(answer.rows), 0 if answer.traffic == LIVE else self._max_bytes // 2
        with self._lock:
            if payload and self._spool is not None and len(payload) + kept_free <= self._room:
                with suppress(OSError):  # the disk is full; the next answer is tried nevertheless
                    self._room -= self._spool.append(payload, about, rows)
                    return
            self.dropped += rows

    def close(self) -> None:
        """Spool no more and store what waits; what is not stored within ten seconds will be by the next logger."""
        with self._lock:
            self._is_closed, self._room = True, 0
        self._writer.finish()
        if self._spool is not None:
            if self.waiting:
                _LOG.warning(
                    "%d rows of the prediction log could not be stored and stay in %s; the next server stores them.",
                    self.waiting,
                    self._spool.folder,
                )
            self._spool.close()

    def _description(self, answer: LoggedAnswer) -> bytes:
        """Encoded once per model and traffic."""
        known = self._described.get(answer.traffic)
        if known is None or known[0] is not answer.model or known[1] is not answer.request_plan:
            known = answer.model, answer.request_plan, self._encode(description(answer))
            self._described[answer.traffic] = known
        return known[2]

    def _present_spool(self) -> Spool | None:
        """The spool in use; another one where there is none or its folder was removed, None where none can be made."""
        if self._spool is not None and not self._is_closed and not self._spool.folder.is_dir():
            with self._lock:
                self.dropped += self.waiting
                self._spool.close()
                self._spool, self._stored = None, 0
        if self._spool is None and not self._is_closed:
            try:
                spool = Spool(self._spools, segment_bytes=min(SEGMENT_BYTES, self._max_bytes // _SEGMENTS))
            except OSError as problem:
                _LOG.warning("Answers are not logged, since nothing can be written to %s: %s", self._spools, problem)
                return None
            with self._lock:
                self._spool = spool
            self._measure_room()
        return self._spool

    def _take(self, report: Report) -> None:
        with self._lock:
            # A writer that was just started has not read as far as the one before had stored.
            position = max(self._stored, report.position)
            self.written += position - self._stored + report.adopted - report.lost
            self.dropped += report.lost
            self.failed_writes += report.failed
            self._stored = position
        self._measure_room()

    def _measure_room(self) -> None:
        room = self._max_bytes - spooled_bytes(self._spools)  # outside the lock: answers do not wait for the disk
        with self._lock:
            self._room = 0 if self._is_closed else room


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a value of type {type(value).__name__} is none that a column could hold")
