from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.contracts.errors import MissingTableError
from larder.versions.commits import RowChange
from larder.versions.difference import Changed, TableDifference, between
from larder.versions.sides import Version


def differing(place: str, before: int, after: int | None, *, table_id: str | None = None) -> TableDifference:
    found = between(place, Version("silver/pans", before, table_id), Version("silver/pans", after))
    assert found is not None
    return found


def test_an_append_adds_rows_and_widens_what_columns_hold(pans):
    found = differing(pans, 0, 1)

    assert (found.before.rows, found.after.rows, found.rows, found.is_exact) == (2, 3, RowChange(1, 0), True)
    assert found.schema == []
    assert found.statistics == [
        Changed("pan", "a .. b, 0 nulls", "a .. c, 0 nulls"),
        Changed("kg", "1.0 .. 2.0, 0 nulls", "1.0 .. 2.0, 1 nulls"),
    ]


def test_back_in_time_the_same_rows_leave(pans):
    assert differing(pans, 1, 0).rows == RowChange(0, 1)


def test_an_overwrite_is_told_by_its_files(pans):
    found = differing(pans, 1, None)

    assert (found.rows, found.is_exact) == (RowChange(1, 3), False)
    assert found.schema == [Changed("metal", None, "string")]


def test_a_version_that_only_rearranged_files_is_the_same(tmp_path):
    place = str(tmp_path / "t")
    for _ in range(2):
        write_deltalake(place, pa.table({"k": [1]}), mode="append")
    DeltaTable(place).optimize.compact()

    assert differing(place, 1, 2).is_same
    assert not differing(place, 0, 2).is_same


def test_one_version_is_no_difference(pans):
    assert between(pans, Version("silver/pans", 2), Version("silver/pans", None)) is None


def test_a_column_without_statistics_is_unknown_not_equal_to_nothing(tmp_path):
    place = str(tmp_path / "t")
    write_deltalake(place, pa.table({"k": [1], "list": [[1, 2]]}))
    write_deltalake(place, pa.table({"k": [1], "list": [[3]]}), mode="append")

    assert differing(place, 0, 1).statistics == []
    assert differing(place, 0, 1).after.columns["list"] == "array<long>"


def test_another_table_under_the_same_name_is_not_compared(pans):
    with pytest.raises(MissingTableError, match=r"deleted and written anew .* Pin it again"):
        differing(pans, 0, 1, table_id="another")


def test_a_version_that_the_log_does_not_know_is_named(pans):
    with pytest.raises(MissingTableError, match=r"has no version 9; its newest is 2"):
        differing(pans, 9, 1)


def test_a_commit_that_states_a_wrong_number_of_rows_is_not_believed(pans):
    log = Path(pans, "_delta_log", f"{1:020}.json")
    log.write_text(log.read_text().replace('"num_added_rows":1', '"num_added_rows":7'))

    found = differing(pans, 0, 1)

    assert (found.rows, found.is_exact) == (RowChange(1, 0), False)
