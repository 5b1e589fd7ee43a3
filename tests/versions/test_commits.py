import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.contracts.errors import MissingTableError
from larder.versions.commits import RowChange, commits, version_at

MILLISECOND = timedelta(milliseconds=1)


def instants(place: str) -> list[datetime]:
    return [commit.committed_at for commit in commits(place)]


def test_an_instant_means_the_latest_version_at_or_before_it(pans):
    at = instants(pans)

    assert [version_at(pans, instant) for instant in at] == [
        max(version for version in range(3) if at[version] <= instant) for instant in at
    ]
    assert version_at(pans, at[2] + timedelta(days=999)) == 2
    assert version_at(pans, at[1] - MILLISECOND) == 0 or at[1] - MILLISECOND < at[0]


def test_an_instant_before_the_first_version_is_refused_with_the_first_that_there_is(pans):
    first = instants(pans)[0]

    with pytest.raises(
        MissingTableError, match=rf"had no version at .* first is version 0 of {first.isoformat()[:19]}"
    ):
        version_at(pans, first - MILLISECOND)


def test_copying_the_log_files_moves_no_version_in_time(pans):
    before = instants(pans)
    for path in Path(pans, "_delta_log").glob("*.json"):
        os.utime(path, (0, 0))

    assert instants(pans) == before
    with pytest.raises(MissingTableError):
        version_at(pans, datetime(1999, 1, 1, tzinfo=UTC))


def test_a_writer_whose_clock_is_behind_does_not_turn_time_back(pans):
    log = Path(pans, "_delta_log", f"{1:020}.json")
    stated = commits(pans)[1].committed_at
    log.write_text(log.read_text().replace(str(int(stated.timestamp() * 1000)), "86400000"))

    at = instants(pans)

    assert at == sorted(at) and at[1] == at[0]


def test_each_operation_says_what_came_and_went(tmp_path):
    place = str(tmp_path / "t")
    write_deltalake(place, pa.table({"k": [1, 2, 3], "v": [1, 1, 1]}), mode="overwrite")
    write_deltalake(place, pa.table({"k": [4], "v": [1]}), mode="append")
    DeltaTable(place).optimize.compact()
    table = DeltaTable(place)
    table.delete("k = 1")
    table.update(updates={"v": "2"}, predicate="k > 2")
    source = pa.table({"k": [4, 5], "v": [7, 7]})
    merge = table.merge(source, "s.k = t.k", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()
    write_deltalake(place, source, mode="overwrite")

    changes = [(commit.operation, commit.change) for commit in commits(place)]

    assert changes == [
        ("WRITE", RowChange(3, 0)),
        ("WRITE", RowChange(1, 0)),
        ("OPTIMIZE", RowChange(0, 0)),
        ("DELETE", RowChange(0, 1)),
        ("UPDATE", RowChange(2, 2)),
        ("MERGE", RowChange(2, 1)),
        ("WRITE", None),
    ]


def test_versions_are_counted_right_although_a_newer_one_comes_while_the_log_is_read(pans, monkeypatch):
    history = DeltaTable.history

    def meanwhile(table: DeltaTable, limit: int | None = None) -> list[dict]:
        if table.version() == 2:
            write_deltalake(pans, pa.table({"pan": ["z"], "kg": [0.0], "metal": ["tin"]}), mode="append")
        return history(table, limit)

    monkeypatch.setattr(DeltaTable, "history", meanwhile)

    assert [commit.version for commit in commits(pans)] == [0, 1, 2, 3]
