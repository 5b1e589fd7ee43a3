import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.log.spool import Record, Spool, SpoolReader, left_spools, spooled_bytes

HEADER_BYTES = 16


def _segments(spool: Spool) -> list[Path]:
    return sorted(spool.folder.glob("*.rows"))


@contextmanager
def _disk_with_room_for(bytes_per_file: int) -> Iterator[None]:
    """The kernel writes up to so many bytes to a file and then refuses, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_per_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_appended_is_read_in_order_with_its_description(tmp_path: Path):
    spool = Spool(tmp_path)
    reader = SpoolReader(spool.folder)

    spool.append(b"a", b"apples", 1)
    first = reader.read()
    spool.append(b"p", b"pears", 2)
    spool.append(b"b", b"apples", 1)

    assert first == [Record(b"a", b"apples", 1)]
    assert reader.read() == [Record(b"p", b"pears", 3), Record(b"b", b"apples", 4)]
    assert reader.read() == []
    assert (reader.taken, reader.lost) == (4, 0)


def test_each_segment_can_be_read_without_those_before(tmp_path: Path):
    spool = Spool(tmp_path, segment_bytes=1)
    spool.append(b"a", b"apples", 1)
    spool.append(b"b", b"apples", 1)
    assert [path.name for path in _segments(spool)] == [f"{0:020d}.rows", f"{1:020d}.rows"]

    _segments(spool)[0].unlink()

    assert SpoolReader(spool.folder).read() == [Record(b"b", b"apples", 2)]


def test_segments_that_were_read_are_removed_but_the_one_that_grows(tmp_path: Path):
    spool = Spool(tmp_path, segment_bytes=1)
    for payload in (b"a", b"b", b"c"):
        spool.append(payload, b"", 1)
    reader = SpoolReader(spool.folder)

    left = []
    while reader.read():
        reader.forget_read()
        left.append(len(_segments(spool)))

    assert left == [3, 2, 1]
    assert spooled_bytes(tmp_path) == _segments(spool)[0].stat().st_size > 0


def test_a_frame_cut_anywhere_is_no_record_and_what_was_whole_is(tmp_path: Path):
    spool = Spool(tmp_path)
    spool.append(b"whole", b"apples", 1)
    [segment] = _segments(spool)
    whole = segment.stat().st_size
    spool.append(b"torn", b"pears", 1)
    content = segment.read_bytes()

    for cut in range(whole + 1, len(content)):
        segment.write_bytes(content[:cut])
        reader = SpoolReader(spool.folder)

        assert [record.payload for record in reader.read()] == [b"whole"]
        assert reader.has_torn_end()


def test_a_frame_that_is_not_whole_yet_is_read_once_it_is(tmp_path: Path):
    spool = Spool(tmp_path)
    spool.append(b"a", b"apples", 1)
    [segment] = _segments(spool)
    content = segment.read_bytes()
    reader = SpoolReader(spool.folder)

    segment.write_bytes(content[:-1])
    assert reader.read() == []
    segment.write_bytes(content)

    assert reader.read() == [Record(b"a", b"apples", 1)]
    assert not reader.has_torn_end()


def test_zeros_at_the_end_as_a_power_cut_leaves_them_are_no_records(tmp_path: Path):
    spool = Spool(tmp_path)
    spool.append(b"a", b"apples", 1)
    with open(_segments(spool)[0], "ab") as segment:
        segment.write(bytes(100))

    reader = SpoolReader(spool.folder)

    assert len(reader.read()) == 1
    assert reader.read() == []
    assert reader.has_torn_end()


@pytest.mark.parametrize("place", range(HEADER_BYTES + len(b"second")))
def test_a_flipped_bit_loses_and_counts_the_rest_of_its_segment_and_nothing_behind(tmp_path: Path, place: int):
    spool = Spool(tmp_path, segment_bytes=100)
    spool.append(b"first", b"", 1)
    start = _segments(spool)[0].stat().st_size
    for payload in (b"second", b"third", b"fourth" * 20, b"fifth"):
        spool.append(payload, b"", 2)
    damaged = bytearray(_segments(spool)[0].read_bytes())
    damaged[start + place] ^= 1
    _segments(spool)[0].write_bytes(damaged)

    reader = SpoolReader(spool.folder)

    assert [record.payload for record in reader.read() + reader.read()] == [b"first", b"fifth"]
    assert (reader.lost, reader.taken) == (6, 9)


@pytest.mark.parametrize("bytes_on_disk", [10, 40, 60, 80])
def test_what_finds_the_disk_full_is_refused_and_leaves_no_trace(tmp_path: Path, bytes_on_disk: int):
    spool = Spool(tmp_path)
    with _disk_with_room_for(bytes_on_disk):
        appended = []
        for payload in (b"aaaaa", b"bbbbb", b"ccccc"):
            try:
                spool.append(payload, b"about", 1)
                appended.append(payload)
            except OSError:
                break
    assert len(appended) < 3
    spool.append(b"later", b"about", 1)

    reader = SpoolReader(spool.folder)

    assert [record.payload for record in reader.read() + reader.read()] == [*appended, b"later"]
    assert reader.lost == 0
    assert not reader.has_torn_end()


def test_a_spool_is_left_once_its_process_is_killed_and_never_while_it_lives(tmp_path: Path):
    code = (
        f"from serving.log.spool import *; s = Spool(Path({str(tmp_path)!r})); s.append(b'a', b'', 1); print(); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        in_use = list(left_spools(tmp_path))
        process.kill()

    [left] = left_spools(tmp_path)

    assert in_use == []
    assert left.read() == [Record(b"a", b"", 1)]
    left.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_somebody_stores_is_not_left_to_others(tmp_path: Path):
    Spool(tmp_path).close()

    for _ in left_spools(tmp_path):
        assert list(left_spools(tmp_path)) == []


def test_without_any_spools_none_is_left(tmp_path: Path):
    (tmp_path / "notes.txt").touch()

    assert list(left_spools(tmp_path)) == list(left_spools(tmp_path / "never made")) == []
