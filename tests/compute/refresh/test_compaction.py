"""Small files of gold become one: no row changes, nobody reads anything again, and who comes second gives way."""

import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.compute.definition import WindowDefinition, WindowFeature
from larder.compute.events import EventSource
from larder.compute.refresh.compaction import compact, put_together, small_files
from larder.compute.refresh.gold import refresh_gold
from larder.compute.refresh.gold_files import commit_files
from larder.compute.refresh.inputs import inputs_of
from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.history import History, Windows
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.gold import gold_position, is_untouched, opened_gold, position_in
from larder.offline.tables.integrity import check_files
from larder.offline.tables.kinds import INSTANT
from larder.offline.tables.opening import open_history
from larder.online.position import Position
from larder.push.plan import push_plan
from larder.versions.commits import RowChange, commits
from larder.versions.vacuum import vacuum

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE = 60_000_000
FEATURES = (
    WindowFeature("sum_10m", "price", "sum", 2, pa.float64()),
    WindowFeature("count_1h", "price", "count", 12, pa.int64()),
)
VIEW = WindowDefinition("sales", {"shop": pa.string()}, "sold_at", 5 * MINUTE, FEATURES)


class Shop:
    """A source, and gold that is refreshed every five minutes and some microseconds."""

    def __init__(self, folder: Path) -> None:
        self.source, self.gold = str(folder / "silver"), str(folder / "gold")
        self.refreshes = 0

    def refresh(self, *, late: timedelta = timedelta()) -> None:
        """A sale, and its refresh: one more file."""
        self.refreshes += 1
        sold_at = pa.array([self.instant - timedelta(minutes=2) - late], INSTANT)
        sale = pa.table({"shop": ["ann"], "sold_at": sold_at, "price": [1.0 * self.refreshes]})
        write_deltalake(self.source, sale, mode="append")
        session = lambda: pytest.fail("Spark for a handful of rows")  # noqa: E731
        refresh_gold(session, VIEW, EventSource(self.source), self.gold, until=self.instant, is_live=True)

    @property
    def instant(self) -> datetime:
        """Of the last refresh."""
        return NOON + timedelta(minutes=5 * self.refreshes, microseconds=1_234)

    def compact(self, from_files: int = 3) -> int:
        return compact(self.gold, from_files=from_files)

    def rows(self) -> pa.Table:
        rows = DeltaTable(self.gold).to_pyarrow_table()
        return rows.sort_by([(name, "ascending") for name in rows.column_names])

    @property
    def files(self) -> int:
        return len(DeltaTable(self.gold).file_uris())

    @property
    def history(self) -> History:
        version = DeltaTable(self.gold).version()
        names = tuple(feature.name for feature in FEATURES)
        return History(self.gold, ("shop",), names, EVENT_TIMESTAMP, KNOWN_AT, cutoff=True, version=version)

    @property
    def position(self) -> Position:
        """Of a Redis that has everything."""
        table = DeltaTable(self.gold)
        return Position(self.gold, table.version(), self.instant, str(table.metadata().id), "schema")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Five refreshes, five files."""
    shop = Shop(tmp_path)
    for _ in range(5):
        shop.refresh()
    assert shop.files == 5
    return shop


def test_small_files_become_one_and_no_row_changes(shop: Shop):
    rows, position = shop.rows(), gold_position(shop.gold)

    assert shop.compact() == 4

    assert shop.files == 2  # that of the last refresh waits
    assert shop.rows() == rows
    assert gold_position(shop.gold) == position
    assert commits(shop.gold)[-1].change == RowChange(0, 0)


@pytest.mark.parametrize("from_files", [0, 5, 100])
def test_few_files_stay_and_so_do_all_where_it_is_switched_off(shop: Shop, from_files: int):
    assert shop.compact(from_files) == 0
    assert shop.files == 5


def test_the_next_refresh_compares_no_more_than_without_it(shop: Shop):
    shop.compact()

    table = opened_gold(shop.gold)
    assert table is not None and is_untouched(position_in(table), table)
    inputs = inputs_of(VIEW, EventSource(shop.source), open_table(shop.source), table, position_in(table))
    assert inputs.gold_from is not None
    assert datetime.fromtimestamp(inputs.gold_from / 1e6, UTC) > shop.instant


def test_a_push_reads_no_file_because_of_it_neither_at_once_nor_after_the_next_refresh(shop: Shop):
    reached = shop.position
    shop.compact()
    compacted = set(_paths(shop))

    at_once = push_plan(shop.history, reached, shop.position)
    shop.refresh()
    later = push_plan(shop.history, reached, shop.position)

    assert (at_once.files, at_once.why_full, at_once.removed) == ({}, "", {})
    (kept,) = compacted - {_newest_before(shop)}
    assert not later.why_full and not later.removed
    assert later.files is not None and kept not in later.files


def test_rows_that_were_not_pushed_before_are_found_in_the_compacted_file(shop: Shop):
    reached = shop.position
    shop.refresh()
    shop.refresh()
    shop.compact()

    plan = push_plan(shop.history, reached, shop.position)

    assert plan.files is not None and set(plan.files) == set(_paths(shop))


def test_late_rows_after_it_are_as_without_it(shop: Shop, tmp_path: Path):
    other = Shop(tmp_path / "never compacted")
    for _ in range(5):
        other.refresh()

    for one in (shop, other):
        for late in (0, 17, 3, 24):
            if one is shop:
                one.compact(2)
            one.refresh(late=timedelta(minutes=late))

    assert shop.files < other.files
    assert shop.rows() == other.rows()


@pytest.mark.parametrize("first", ["compaction", "refresh", "optimize"])
def test_a_compaction_gives_way_to_whatever_was_committed_since_it_read(shop: Shop, first: str):
    stale = DeltaTable(shop.gold)
    files = small_files(stale, 3)
    {
        "compaction": shop.compact,
        "refresh": shop.refresh,
        "optimize": DeltaTable(shop.gold).optimize.compact,
    }[first]()
    rows, version = shop.rows(), DeltaTable(shop.gold).version()

    assert not put_together(stale, files)

    assert (shop.rows(), DeltaTable(shop.gold).version()) == (rows, version)


def test_a_refresh_that_had_read_before_it_goes_through(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    def late(*arguments: Any, **options: Any) -> None:
        assert shop.compact()
        commit_files(*arguments, **options)

    monkeypatch.setattr("larder.compute.refresh.gold.commit_files", late)

    shop.refresh()

    moved, added = (commit.change for commit in commits(shop.gold)[-2:])
    assert moved == RowChange(0, 0) and added is not None and added.added > 0
    found = gold_position(shop.gold)
    assert found is not None and found.instant == shop.instant


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_compaction_leaves_the_rows_and_the_next_one_goes_through(shop: Shop, tmp_path: Path, seed: int):
    rows = shop.rows()
    shutil.copytree(shop.gold, tmp_path / "copies" / "gold")
    command = [sys.executable, "-c", COMPACT_COPIES, str(tmp_path / "copies")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = [process.stdout.readline()]
        time.sleep(random.Random(seed).uniform(0, 0.1))
        process.kill()
        begun += process.stdout.readlines()

    shop.gold = begun[-1].strip()

    assert shop.rows() == rows
    shop.compact()
    assert (shop.rows(), shop.files) == (rows, 2)


COMPACT_COPIES = """
import itertools, shutil, sys
from larder.compute.refresh.compaction import compact
for number in itertools.count():
    copy = shutil.copytree(sys.argv[1] + "/gold", f"{sys.argv[1]}/{number}")
    print(copy, flush=True)
    assert compact(copy, from_files=3)
"""
"""Without end, each time another copy of gold."""


def test_gold_of_other_windows_is_refused_whatever_number_of_commits_others_made_since(shop: Shop):
    for _ in range(25):
        DeltaTable(shop.gold).alter.set_table_properties({"delta.logRetentionDuration": "interval 60 days"})
    history = History(shop.gold, ("shop",), ("sum_10m",), EVENT_TIMESTAMP, KNOWN_AT, cutoff=True)

    own = Windows(VIEW.fingerprint, shop.source, "shops")

    assert open_history(replace(history, windows=own)).version == DeltaTable(shop.gold).version()
    with pytest.raises(ConfigurationError, match="other windows"):
        open_history(replace(history, windows=replace(own, fingerprint="another")))


def test_versions_before_it_are_readable_while_they_are_pinned(shop: Shop):
    rows, version = shop.rows(), DeltaTable(shop.gold).version()
    shop.compact()

    vacuum(shop.gold, {version: ("model 1",)}, retention_hours=0)

    before = DeltaTable(shop.gold, version=version).to_pyarrow_table()
    assert before.sort_by([(name, "ascending") for name in before.column_names]) == rows


def test_a_damaged_file_is_named_and_nothing_is_built_on_it(shop: Shop):
    path = Path(shop.gold) / max(_paths(shop))
    content = bytearray(path.read_bytes())
    sums = pq.read_metadata(path).row_group(0).column(3)
    content[sums.data_page_offset + sums.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    shop.refresh()
    version = DeltaTable(shop.gold).version()

    with pytest.raises(InvalidDataError, match=path.name):
        shop.compact()

    assert DeltaTable(shop.gold).version() == version


@pytest.mark.parametrize("lines", [2, 5])
def test_a_commit_of_it_that_was_cut_off_is_refused(shop: Shop, lines: int):
    shop.compact()
    commit = Path(shop.gold) / "_delta_log" / f"{DeltaTable(shop.gold).version():020}.json"
    kept = [line for line in commit.read_text().splitlines() if line][:lines]
    commit.write_text("\n".join(kept) + "\n")

    with pytest.raises(InvalidDataError, match="lists files with 0 of the"):
        check_files(open_table(shop.gold))


def _paths(shop: Shop) -> list[str]:
    paths: list[str] = pa.table(DeltaTable(shop.gold).get_add_actions())["path"].to_pylist()
    return paths


def _newest_before(shop: Shop) -> str:
    """The file of the refresh before the last one."""
    added = pa.table(DeltaTable(shop.gold).get_add_actions(flatten=True))
    (path,) = [
        row["path"]
        for row in added.to_pylist()
        if row["max.known_at"] > shop.instant - timedelta(minutes=6) and row["max.known_at"] < shop.instant
    ]
    return str(path)
