"""The runs of three benchmarks, shortened: the same processes, the same oracle, a few seeds."""

from pathlib import Path

from online_concurrency import concurrency_run
from online_faults import FAULTS, faults_run
from online_hung import hung_run


def test_no_reader_sees_a_value_go_back_or_a_mixed_record_beside_eight_writers(tmp_path: Path) -> None:
    found = concurrency_run(tmp_path, seconds=2)

    assert found["violations"] == 0
    assert min(found["writes"], found["reads"]) > 0


def test_after_kill_9_nothing_acknowledged_is_lost_and_one_rerun_ends_right(tmp_path: Path) -> None:
    found = faults_run(tmp_path, range(4))

    assert (found["lost"], found["different"]) == (0, 0)
    assert found["kills"] == 4 * len(FAULTS)


def test_a_hung_redis_keeps_no_caller_waiting(tmp_path: Path) -> None:
    found = hung_run(tmp_path, times=3)

    assert 90 < found["median_ms"] < 1_000  # the time-out is 100 ms; the machine may be busy
