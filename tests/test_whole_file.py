from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from larder.whole_file import write_durably, write_whole

SIZE = 50_000


@pytest.mark.parametrize("write", [write_whole, write_durably])
def test_writers_at_once_leave_a_file_that_is_whole_at_every_instant(
    tmp_path: Path, write: Callable[[Path, bytes], None]
):
    path = tmp_path / "report.json"
    write(path, b"0" * SIZE)

    def written(writer: int) -> set[bytes]:
        found = set()
        for _ in range(100):
            write(path, b"%d" % writer * SIZE)
            found.add(path.read_bytes())
        return found

    with ThreadPoolExecutor(4) as writers:
        found = set[bytes]().union(*writers.map(written, range(4)))

    assert found <= {b"%d" % writer * SIZE for writer in range(4)}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_whole, write_durably])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], None]
):
    path = tmp_path / "report.json"
    write(path, b"before")
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        write(path, b"after")

    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"before", [path])
