"""Files of gold: what is said of them must not leave out a row, and a flipped bit must be noticed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from larder.compute.refresh.gold_files import commit_files, write_file
from larder.offline.tables.gold import GoldPosition, gold_position
from larder.offline.tables.kinds import INSTANT

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SCHEMA = pa.schema(
    [("shop", pa.string()), ("event_timestamp", INSTANT), ("known_at", INSTANT), ("mean_1h", pa.float64())]
)


def rows(*known_at: datetime) -> pa.Table:
    count = len(known_at)
    return pa.table([["ann"] * count, [NOON] * count, known_at, [1.5] * count], schema=SCHEMA)


def position(refresh: int) -> GoldPosition:
    return GoldPosition("silver/sales", 1, NOON, "windows", refresh)


@pytest.fixture
def gold(tmp_path: Path) -> str:
    """Two files with one row each."""
    place = str(tmp_path / "gold of ann")
    files = [write_file(rows(at), place) for at in (NOON, NOON + timedelta(microseconds=1_001))]
    commit_files(pa.Table.from_batches(files), place, SCHEMA, position(1), onto=None)
    return place


@pytest.mark.parametrize("late", [0, 1_000, 1_001])
def test_bounds_in_milliseconds_leave_no_microsecond_out(gold: str, late: int):
    instant = (NOON + timedelta(microseconds=late)).isoformat()

    found = pa.table(DeltaTable(gold).scan(predicate=f"known_at >= '{instant}'"))

    assert found.num_rows == (2 if late == 0 else 1)


def test_a_file_beyond_the_bounds_is_not_read(gold: str):
    table = DeltaTable(gold)
    later = "known_at > arrow_cast('2024-05-01T12:00:00.001Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"

    assert len(table.file_uris()) == 2
    assert len(list(table.to_pyarrow_dataset(file_pruning_predicate=later).get_fragments())) == 1


def test_all_files_of_a_run_come_in_one_commit_with_its_position(gold: str):
    more = pa.Table.from_batches([write_file(rows(NOON, NOON), gold)])

    commit_files(more, gold, SCHEMA, position(2), onto=DeltaTable(gold))

    found = gold_position(gold)
    assert found is not None
    assert (found.refresh, DeltaTable(gold).version()) == (2, 1)
    assert DeltaTable(gold).to_pyarrow_table().num_rows == 4
    assert DeltaTable(gold).transaction_version("larder.compute") == 2


def test_each_page_carries_a_checksum(gold: str):
    path = Path(gold) / pa.table(DeltaTable(gold).get_add_actions())["path"][0].as_py()
    mean = pq.read_metadata(path).row_group(0).column(3)
    content = bytearray(path.read_bytes())
    content[mean.data_page_offset + mean.total_compressed_size - 1] ^= 1
    path.write_bytes(content)

    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)
