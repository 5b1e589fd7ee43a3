"""Several writers at once, writers that are killed, and disks that take nothing."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from larder.contracts.errors import DependencyError
from larder.ledger import Act, Ledger
from tests.ledger.test_ledger import NOW

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from larder.ledger import Act, Ledger

ledger = Ledger(Path(sys.argv[1]), sys.argv[2])
for number in range(int(sys.argv[3])):
    entry = ledger.append(Act.DECISION, "returns", at=datetime(2024, 3, 1, tzinfo=UTC), reason="x" * 5000)
    print(entry.number, entry.hash, flush=True)
"""


def writer(path: Path, name: str, entries: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), name, str(entries)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_four_processes_append_at_once_and_nothing_is_lost(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    running = [writer(path, f"writer {number}", 50) for number in range(4)]
    for process in running:
        process.communicate()

    ledger = Ledger(path, "reader")
    actors = [entry.actor for entry in ledger.entries()]
    assert sorted(actors) == sorted(f"writer {number}" for number in range(4) for _ in range(50))
    assert ledger.problem() is None


def test_a_writer_killed_at_any_moment_leaves_a_chain_that_holds_every_acknowledged_entry(tmp_path: Path):
    path, chance = tmp_path / "ledger.jsonl", random.Random(6)
    ledger, acknowledged = Ledger(path, "reader"), set()
    for number in range(20):
        with writer(path, f"writer {number}", 10_000) as process:
            assert process.stdout is not None
            told = [process.stdout.readline()]
            time.sleep(chance.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        acknowledged |= {tuple(line.split()) for line in told if line.endswith("\n")}

        assert ledger.problem() is None
    assert acknowledged <= {(str(entry.number), entry.hash) for entry in ledger.entries()}
    assert len(acknowledged) >= 20


def test_an_entry_that_does_not_fit_on_the_disk_is_refused_and_leaves_the_ledger_whole(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, "tester")
    ledger.append(Act.DECISION, "returns", at=NOW, reason="fits")
    limit = path.stat().st_size + 100
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n{WRITER}"

    done = subprocess.run([sys.executable, "-c", limited, str(path), "w", "1"], capture_output=True, text=True)

    assert "cannot be written" in done.stderr and not done.stdout
    assert path.stat().st_size == limit, "the write stopped within the line"
    assert [entry.reason for entry in ledger.entries()] == ["fits"]
    assert ledger.append(Act.DECISION, "returns", at=NOW, reason="later").number == 2
    assert ledger.problem() is None


def test_a_step_hears_before_its_act_that_the_ledger_cannot_be_written(tmp_path: Path):
    (tmp_path / "state").write_text("a file where the folder should be")

    with pytest.raises(DependencyError, match="cannot be written"):
        Ledger(tmp_path / "state" / "ledger.jsonl", "tester").require_writable()


def test_an_append_reads_no_more_of_a_long_ledger_than_of_a_short_one(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.jsonl", "tester")
    ledger.append(Act.DECISION, "returns", at=NOW, reason="first")

    short = _bytes_read(ledger)
    for _ in range(300):
        ledger.append(Act.DECISION, "returns", at=NOW, reason="x" * 5000)

    assert _bytes_read(ledger) <= short + 2 * 64 * 1024
    assert ledger.path.stat().st_size > 1_500_000


def _bytes_read(ledger: Ledger) -> int:
    """By one append, as the kernel counts it."""
    before = _read_so_far()
    ledger.append(Act.DECISION, "returns", at=NOW, reason="counted")
    return _read_so_far() - before


def _read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])
