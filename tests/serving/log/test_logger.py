"""Answers through a spool and the writer's own process into a real Delta table."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from larder.contracts.bundle import Manifest, write_bundle
from larder.contracts.plan import FeaturePlan
from larder.contracts.tables import SHADOW
from serving.log.logger import PredictionLogger
from serving.log.prediction_log import LoggedAnswer
from serving.log.spool import Spool, left_spools
from serving.log.writer import Report
from serving.models.model import Model, load_model
from tests.serving.conftest import AT, PREDICTION, REQUEST, VALUES

SECONDS_TO_WAIT = 30.0


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest, plan: FeaturePlan, graph: bytes) -> Path:
    return write_bundle(tmp_path / "bundles", manifest, plan, graph)


@pytest.fixture
def model(bundle: Path) -> Model:
    return load_model(bundle)


@pytest.fixture
def spools(tmp_path: Path) -> Path:
    return tmp_path / "my state" / "spool"


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(tmp_path / "my lake" / "predictions")


@contextmanager
def _running(spools: Path, table: str, **options: Any) -> Iterator[PredictionLogger]:
    log = PredictionLogger(spools, table, **{"seconds": 0.02} | options)
    log.start()
    try:
        yield log
    finally:
        log.close()


def _answer(model: Model, name: str = "a", rows: int = 1) -> LoggedAnswer:
    return LoggedAnswer(name, AT, model, [REQUEST] * rows, [VALUES] * rows, [PREDICTION] * rows)


def _all_stored(log: PredictionLogger) -> None:
    """However long the writer has to wait for a processor; `close` gives it ten seconds."""
    _eventually(lambda: log.waiting == 0)


def _eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _ids(table: str) -> list[str]:
    try:
        return sorted(DeltaTable(table).to_pyarrow_table()["answer_id"].to_pylist())
    except TableNotFoundError:
        return []


def _killed_server(bundle: Path, spools: Path, table: str) -> None:
    """A process that logs the answer `old` and is killed when its writer runs, which may go on."""
    code = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from serving.log.logger import *
from serving.models.model import load_model
from tests.serving.log.test_logger import _answer, _writers
log = PredictionLogger(Path({str(spools)!r}), {table!r}, seconds=60)
log.start()
log.log(_answer(load_model(Path({str(bundle)!r})), "old"))
while not _writers(log._spools):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


def _writers(spools: Path) -> list[psutil.Process]:
    """The processes that write spools of this test, whoever started them."""
    return [process for process in psutil.process_iter() if str(spools) in " ".join(_command(process))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_closing_stores_what_waits_and_leaves_no_spool(model: Model, spools: Path, table: str):
    with _running(spools, table, seconds=60) as log:
        log.log(_answer(model, rows=3))
        assert log.waiting == 3

    assert _ids(table) == ["a"] * 3
    assert (log.written, log.dropped, log.waiting) == (3, 0, 0)
    assert list(spools.iterdir()) == []


def test_rows_are_stored_while_the_server_runs(model: Model, spools: Path, table: str):
    with _running(spools, table) as log:
        for name in "ab":
            log.log(_answer(model, name))
            _eventually(lambda: log.waiting == 0)
        assert (_ids(table), log.written) == (["a", "b"], 2)


def test_a_full_spool_drops_and_counts_and_has_room_again_once_it_is_stored(model: Model, spools: Path, table: str):
    with _running(spools, table, seconds=60, max_bytes=5_000) as log:
        for i in range(100):
            log.log(_answer(model, f"{i:03d}"))
        spooled = log.waiting
        assert 5 < spooled < 95
        assert log.dropped == 100 - spooled
    with _running(spools, table, max_bytes=5_000) as log:
        for i in range(200, 250):
            log.log(_answer(model, f"{i:03d}"))
            _eventually(lambda: log.waiting == 0)

    assert _ids(table) == [f"{i:03d}" for i in [*range(spooled), *range(200, 250)]]
    assert log.dropped == 0


def test_shadow_rows_leave_half_of_the_spool_to_what_callers_were_told(model: Model, spools: Path, table: str):
    with _running(spools, table, seconds=60, max_bytes=20_000) as log:
        for _ in range(200):
            log.log(replace(_answer(model), traffic=SHADOW))
        shadow = log.waiting
        for _ in range(200):
            log.log(_answer(model))
        assert 0.7 < (log.waiting - shadow) / shadow < 1.3


def test_where_no_spool_can_be_made_answers_are_dropped_until_one_can(model: Model, spools: Path, table: str):
    spools.parent.mkdir()
    spools.touch()
    with _running(spools, table) as log:
        log.log(_answer(model, "a", rows=2))
        assert log.dropped == 2

        spools.unlink()
        _eventually(spools.is_dir)
        _eventually(lambda: log.log(_answer(model, "b")) or log.waiting or log.written)
        _all_stored(log)

    assert set(_ids(table)) == {"b"}


def test_what_cannot_be_encoded_is_dropped_and_numpys_numbers_are_numbers(model: Model, spools: Path, table: str):
    import numpy as np

    with _running(spools, table) as log:
        log.log(replace(_answer(model, "a"), values=[[object(), 40, "east", None, 12, 20.0]]))
        log.log(replace(_answer(model, "b"), values=[[np.float64(30), np.int64(40), "east", None, 12, 20.0]]))
        assert log.dropped == 1
        _all_stored(log)

    assert _ids(table) == ["b"]


def test_while_the_table_cannot_be_written_rows_wait_and_then_all_are_stored(model: Model, spools: Path, table: str):
    Path(table).parent.mkdir()
    Path(table).touch()  # where a folder belongs
    with _running(spools, table) as log:
        for i in range(50):
            log.log(_answer(model, f"{i:03d}"))
        _eventually(lambda: log.failed_writes > 1)
        assert (log.written, log.dropped, log.waiting) == (0, 0, 50)
        for i in range(50, 60):  # behind those that are being tried
            log.log(_answer(model, f"{i:03d}"))

        Path(table).unlink()
        _all_stored(log)

    assert (log.written, log.dropped, log.waiting) == (60, 0, 0)
    assert _ids(table) == [f"{i:03d}" for i in range(60)]


def test_what_a_logger_cannot_store_at_its_end_is_told_and_stored_by_the_next(
    model: Model, spools: Path, table: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("serving.log.writer_process.SECONDS_TO_FLUSH", 1.0)
    Path(table).parent.mkdir()
    Path(table).touch()
    with _running(spools, table) as log:
        log.log(_answer(model))
    assert (log.waiting, log.dropped) == (1, 0)
    assert f"1 rows of the prediction log could not be stored and stay in {spools}" in caplog.text

    Path(table).unlink()
    with _running(spools, table) as log:
        _eventually(lambda: log.written == 1)

    assert _ids(table) == ["a"]


def test_rows_of_a_killed_process_with_an_older_version_are_stored_by_the_next(
    bundle: Path, manifest: Manifest, plan: FeaturePlan, graph: bytes, spools: Path, table: str, tmp_path: Path
):
    _killed_server(bundle, spools, table)
    for writer in _writers(spools):
        writer.kill()
    shutil.rmtree(bundle)
    fewer = msgspec.structs.replace(plan, columns=plan.columns[::-1])
    newer = load_model(write_bundle(tmp_path / "bundles", msgspec.structs.replace(manifest, version="2"), fewer, graph))

    with _running(spools, table) as log:
        log.log(replace(_answer(newer, "new"), values=[VALUES[::-1]]))
        _eventually(lambda: log.written == 2)

    rows = DeltaTable(table).to_pyarrow_table().sort_by("answer_id").to_pylist()
    assert [(row["answer_id"], row["version"]) for row in rows] == [("new", "2"), ("old", "1")]
    assert rows[0]["features"] == rows[1]["features"]
    assert list(spools.iterdir()) == []


def test_a_spool_belongs_to_its_writer_until_that_ends_too(bundle: Path, spools: Path, table: str):
    Path(table).parent.mkdir()
    Path(table).touch()  # where a folder belongs: the writer tries in vain
    _killed_server(bundle, spools, table)
    [writer] = _writers(spools)

    assert list(left_spools(spools)) == []
    writer.kill()
    _eventually(lambda: not _writers(spools))
    # A process that is killed loses its name before its locks.
    _eventually(lambda: len(list(left_spools(spools))) == 1)


def test_a_writer_outlives_the_signals_that_end_its_server(model: Model, spools: Path, table: str):
    with _running(spools, table) as log:
        log.log(_answer(model, "a"))
        _eventually(lambda: log.waiting == 0)
        [writer] = _writers(spools)
        for number in (signal.SIGINT, signal.SIGTERM):
            writer.send_signal(number)
        log.log(_answer(model, "b"))
        _eventually(lambda: log.waiting == 0)
        assert _writers(spools) == [writer]


def test_a_writer_that_begins_anew_takes_back_nothing(model: Model, spools: Path, table: str):
    with _running(spools, table) as log:
        log.log(_answer(model))
        _eventually(lambda: log.waiting == 0)

        log._take(Report(position=0))

        assert (log.written, log.waiting) == (1, 0)


def test_a_spool_of_another_release_waits_told_once_and_hinders_no_other(
    model: Model, spools: Path, table: str, capfd: pytest.CaptureFixture[str]
):
    foreign = Spool(spools)
    foreign.append(b"\x81", b"another form", 3)
    foreign.close()
    with _running(spools, table) as log:
        log.log(_answer(model))
        _eventually(lambda: log.failed_writes > 2)

    assert _ids(table) == ["a"]
    assert list(spools.iterdir()) == [foreign.folder]
    assert capfd.readouterr().err.count(f"The prediction log waits in {foreign.folder}") == 1
    assert log.dropped == 0


def test_loggers_with_one_folder_keep_their_spools_apart(model: Model, spools: Path, table: str):
    with _running(spools, table) as one, _running(spools, table) as other:
        for i in range(100):
            one.log(_answer(model, f"one {i:03d}"))
            other.log(_answer(model, f"other {i:03d}"))
            time.sleep(0.01)

    assert _ids(table) == [f"{name} {i:03d}" for name in ("one", "other") for i in range(100)]
    assert (one.written + other.written, one.dropped, other.dropped) == (200, 0, 0)


def test_a_writer_killed_at_any_instant_loses_nothing_and_stores_nothing_twice(
    model: Model, spools: Path, table: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("serving.log.writer_process.SECONDS_TO_RESTART", 0.05)
    instants = random.Random(7)
    logged = 0
    with _running(spools, table, max_bytes=1_000_000) as log:
        _eventually(lambda: _writers(spools))
        for _ in range(10):
            until = time.monotonic() + instants.uniform(0.2, 1.2)
            while time.monotonic() < until:
                log.log(_answer(model, f"{logged:06d}"))
                logged += 1
                time.sleep(0.001)
            for writer in _writers(spools):
                writer.kill()

    assert _ids(table) == [f"{i:06d}" for i in range(logged)]
    assert (log.written, log.dropped, log.waiting) == (logged, 0, 0)


def test_a_spool_removed_under_the_server_is_counted_and_followed_by_another(model: Model, spools: Path, table: str):
    with _running(spools, table, seconds=0.2) as log:
        _eventually(lambda: _writers(spools))
        log.log(_answer(model, "a", rows=2))
        shutil.rmtree(spools)
        _eventually(lambda: log.dropped == 2)
        _eventually(spools.is_dir)
        log.log(_answer(model, "b"))

    assert _ids(table) == ["b"]


def test_a_logger_that_nothing_was_given_leaves_nothing(spools: Path, table: str):
    with _running(spools, table):
        pass

    assert list(left_spools(spools)) == list(spools.iterdir()) == []
