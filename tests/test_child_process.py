import signal
import subprocess
import sys
from pathlib import Path

import psutil

from larder.child_process import waited_for

PARENT = """
import subprocess, sys
from larder.child_process import waited_for
waited_for(subprocess.Popen([sys.executable, "-c", sys.argv[1]]))
"""
CHILD = """
import os, signal, sys, time
def end(*_):
    print("ended", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_who_is_told_to_end_ends_what_it_waits_for_first(tmp_path: Path):
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGTERM)
        said = parent.stdout.read()

    assert (said, parent.returncode) == ("ended\n", 128 + signal.SIGTERM)
    assert not psutil.pid_exists(child)


def test_the_exit_code_is_that_of_the_process_and_signals_are_as_before():
    before = signal.getsignal(signal.SIGTERM)

    code = waited_for(subprocess.Popen([sys.executable, "-c", "raise SystemExit(5)"]))

    assert code == 5
    assert signal.getsignal(signal.SIGTERM) is before
