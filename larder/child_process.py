"""Waiting for a process that does this one's work."""

import signal
import subprocess
import sys
import threading
from types import FrameType


def waited_for(process: "subprocess.Popen[bytes]") -> int:
    """Its exit code, once it has ended.

    Ctrl-C reaches both by itself. SIGTERM reaches only this process, as from a schedule that takes too long: it is
    passed on, so that nothing goes on unseen, and ends this process once the other one has ended.
    """
    asked: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        process.terminate()

    is_main = threading.current_thread() is threading.main_thread()  # others may not handle signals
    before = signal.signal(signal.SIGTERM, pass_on) if is_main else None
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    if asked:
        sys.exit(128 + asked[0])
    return code
