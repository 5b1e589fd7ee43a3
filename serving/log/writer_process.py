"""The writer of the prediction log, as its server sees it: kept running, and waited for at the end."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from serving.log.spool import Spool
from serving.log.writer import SECONDS_TO_FLUSH, Report

SECONDS_TO_RESTART = 1.0
_LOG = logging.getLogger(__name__)


class WriterProcess:
    """Keeps `python -m serving.log.writer` running beside this process, from `start` to `finish`."""

    def __init__(
        self, spool: Callable[[], Spool | None], table: str, seconds: float, take: Callable[[Report], None]
    ) -> None:
        """`spool` gives what to empty, asked at each start; `take` is called in a thread with each report."""
        self._spool = spool
        self._arguments = table, str(seconds)
        self._take = take
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._is_finishing = self._is_abandoned = False
        self._thread = threading.Thread(target=self._keep_running, name="log-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Let it store all that is spooled, for ten seconds at most; nothing may be appended any more."""
        with self._lock:
            self._is_finishing = True
            if self._running is not None:
                _close_input(self._running)
        self._thread.join(timeout=SECONDS_TO_FLUSH)
        with self._lock:
            self._is_abandoned = True
            if self._running is not None:
                self._running.kill()
        self._thread.join(timeout=SECONDS_TO_RESTART)

    def _keep_running(self) -> None:
        while not self._is_abandoned:
            ended_well = self._run_once()
            if self._is_finishing and ended_well:
                return
            time.sleep(SECONDS_TO_RESTART)

    def _run_once(self) -> bool:
        """Whether it ended by itself and well, or there was nothing to do."""
        spool = self._spool()
        if spool is None:
            return True
        command = [sys.executable, "-m", "serving.log.writer", str(spool.folder), *self._arguments]
        try:
            writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[spool.lock])
        except OSError as problem:
            _LOG.warning("The writer of the prediction log cannot be started: %s", problem)
            return False
        with self._lock:
            self._running = writer
            if self._is_finishing:  # it died, or was just to be started, when all was to be stored
                _close_input(writer)
        with writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                try:
                    self._take(msgspec.json.decode(line, type=Report))
                except msgspec.MsgspecError:
                    _LOG.warning("The writer of the prediction log says: %s", line.decode(errors="replace").rstrip())
        with self._lock:
            self._running = None
        return writer.returncode == 0


def _close_input(writer: subprocess.Popen[bytes]) -> None:
    """It takes this as the end of its server."""
    assert writer.stdin is not None
    writer.stdin.close()
