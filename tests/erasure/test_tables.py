"""Rows of one entity in Delta tables, and what is left of them in files and logs."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from larder.contracts.errors import MissingTableError, UnsupportedError
from larder.erasure import tables
from larder.erasure.subject import Key, Subject
from larder.offline.tables.delta_table import open_table

ANNA = "anna-8f21"
ALL = {"user": ["bob", ANNA, None], "cents": [1, 2, 3]}


def subject(**keys: str | int) -> Subject:
    return Subject(tuple(Key(name, value, frozenset({name})) for name, value in keys.items()))


def written(place: Path, content: dict[str, list[object]] | pa.Table = ALL, **options: object) -> str:
    rows = content if isinstance(content, pa.Table) else pa.table(content)
    write_deltalake(str(place), rows, mode="append", **options)  # type: ignore[call-overload]
    return str(place)


def content(table: str) -> list[dict[str, object]]:
    return list(DeltaTable(table).to_pyarrow_table().to_pylist())


def traces(folder: Path, text: str) -> list[str]:
    """Files below the folder that hold the text, Parquet files by their decoded values and statistics."""
    import pyarrow.parquet as pq

    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            shown = path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                shown += str(pq.read_table(path).to_pylist())
            if text in shown:
                found.append(path.name)
    return found


def test_the_rows_go_and_all_others_stay_nulls_too(tmp_path: Path):
    table = written(tmp_path / "a table")

    assert tables.found(table, subject(user=ANNA)) == tables.Found(1, tables.Counter(), False)
    tables.erase(table, subject(user=ANNA))

    assert content(table) == [{"user": "bob", "cents": 1}, {"user": None, "cents": 3}]


def test_no_file_and_no_log_entry_names_the_entity_afterwards(tmp_path: Path):
    table = written(tmp_path / "table")
    written(tmp_path / "table", {"user": [ANNA], "cents": [4]})
    DeltaTable(table).create_checkpoint()
    written(tmp_path / "table", {"user": ["carl"], "cents": [5]})
    DeltaTable(table).delete("cents = 2")  # deleted before, and still in older versions
    assert traces(tmp_path, ANNA)

    tables.erase(table, subject(user=ANNA))

    assert traces(tmp_path, ANNA) == []
    assert {row["user"] for row in content(table)} == {"bob", None, "carl"}


def test_older_versions_are_gone_with_one_clear_error(tmp_path: Path):
    table = written(tmp_path / "table")

    left = tables.erase(table, subject(user=ANNA))

    assert (open_table(table).version(), left.rows) == (left.version, 2)
    with pytest.raises(MissingTableError, match=r"Version 0 .* were cleaned up"):
        open_table(table, 0)


def test_a_table_goes_on_where_it_stood(tmp_path: Path):
    done = CommitProperties(app_transactions=[Transaction("larder.silver.orders", 7)])
    table = written(tmp_path / "table", commit_properties=done)

    left = tables.erase(table, subject(user=ANNA))
    written(tmp_path / "table")

    assert DeltaTable(table).version() == left.version + 1
    assert DeltaTable(table).transaction_version("larder.silver.orders") == 7
    assert len(content(table)) == 5


def test_whoever_had_the_table_open_and_appends_goes_on_after_opening_it_anew(tmp_path: Path):
    from larder.offline.tables.delta_writing import append_rows

    table = written(tmp_path / "table")
    writer = DeltaTable(table)

    tables.erase(table, subject(user=ANNA))
    try:
        write_deltalake(writer, pa.table(ALL), mode="append")
    except Exception:
        append_rows(table, pa.table(ALL))

    assert len(content(table)) == 5


@pytest.mark.parametrize(
    ("value", "rows"),
    [("it's", 1), ("%", 1), ('"', 1), ("\\", 1), ("it", 0), ("", 0), ("null", 0), ("' OR '1'='1", 0)],
)
def test_a_text_matches_itself_and_nothing_else(tmp_path: Path, value: str, rows: int):
    names = ["it's", "%", '"', "\\", "its", None]
    table = written(tmp_path / "table", {'Buyer\'s "name"': names})

    found = tables.found(table, subject(**{'Buyer\'s "name"': value}))

    assert found is not None and found.rows == rows


def test_a_number_is_found_however_a_raw_file_wrote_it(tmp_path: Path):
    table = written(tmp_path / "raw", {"user": ["42", " 42", "042", "+42", "421", "-42", "4.2", "42.7", "x", None]})

    found = tables.found(table, subject(user=42))

    assert found is not None and found.rows == 4


@pytest.mark.parametrize(
    ("number", "others"),
    [(42, ["-7", "-07", "0", "-0"]), (-7, ["42", "042", "0", "-0"]), (0, ["42", "042", "-7", "-07"])],
)
def test_a_number_is_erased_however_a_raw_file_wrote_it(tmp_path: Path, number: int, others: list[str]):
    table = written(tmp_path / "raw", {"user": ["42", "042", "-7", "-07", "0", "-0"]})

    tables.erase(table, subject(user=number))

    assert [row["user"] for row in content(table)] == others


def test_a_number_is_found_among_numbers_of_other_types(tmp_path: Path):
    columns = {"small": pa.array([42, 43], pa.int16()), "float": [42.0, 42.5], "wide": pa.array([42, None], pa.int64())}

    for number, column in enumerate(columns.values()):
        table = written(tmp_path / str(number), pa.table({"user": column}))
        found = tables.found(table, subject(user=42))
        assert found is not None and found.rows == 1


def test_a_composite_key_means_rows_with_all_its_values(tmp_path: Path):
    table = written(tmp_path / "table", {"shop": [1, 1, 12], "user": ["23", "2", "3"]})

    tables.erase(table, subject(shop=1, user="23"))

    assert content(table) == [{"shop": 1, "user": "2"}, {"shop": 12, "user": "3"}]


def test_a_field_of_a_struct_is_looked_at_like_a_column(tmp_path: Path):
    requests = pa.array([{"user": ANNA, "cents": 1}, {"user": "bob", "cents": 2}, None])
    table = written(tmp_path / "answers", pa.table({"request": requests, "answer": [1, 2, 3]}))

    tables.erase(table, subject(user=ANNA))

    assert [row["answer"] for row in content(table)] == [2, 3]


def test_refused_rows_are_found_by_the_raw_row_that_they_keep(tmp_path: Path):
    records = ['{"user":"anna-8f21","cents":"x"}', '{"user":"anna-8f21b","cents":"x"}', '{"user":null,"cents":"x"}']
    rows = pa.table({"source_file": ["a.csv"] * 3, "reason": ["bad"] * 3, "record": records})
    table = written(tmp_path / "quarantine", rows)

    assert tables.found(table, subject(user=ANNA)) == tables.Found(1, tables.Counter({"a.csv": 1}), False)
    tables.erase(table, subject(user=ANNA))

    assert [row["record"] for row in content(table)] == records[1:]


def test_a_number_in_a_refused_row_is_found_however_a_raw_file_wrote_it(tmp_path: Path):
    records = [f'{{"user":"{text}","cents":"x"}}' for text in ("42", "042", " +42", "142", "421", "-42")]
    rows = pa.table({"source_file": ["a.csv"] * 6, "reason": ["bad"] * 6, "record": records})
    table = written(tmp_path / "quarantine", rows)

    tables.erase(table, subject(user=42))

    assert [row["record"] for row in content(table)] == records[3:]


def test_raw_files_with_rows_of_nobody_else_are_told(tmp_path: Path):
    hashes = {"content_hash": ["one", "two", "two", "three"], "source_file": ["1.csv", "2.csv", "2.csv", "3.csv"]}
    table = written(tmp_path / "bronze", pa.table({"user": [ANNA, ANNA, "bob", "bob"]} | hashes))

    found = tables.found(table, subject(user=ANNA))

    assert found is not None and found.whole_files == {"one"}


def test_a_table_without_the_column_is_not_looked_at(tmp_path: Path):
    assert tables.found(written(tmp_path / "table"), subject(account=ANNA)) is None


def test_an_erasure_that_was_cut_off_is_seen_and_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    for step in ("_commit_metadata", "_delete_log_before"):
        place = tmp_path / step
        table = written(place)
        with monkeypatch.context() as patched:
            patched.setattr(tables, step, killed)
            with pytest.raises(Killed):
                tables.erase(table, subject(user=ANNA))

        cut_off = tables.found(table, subject(user=ANNA))
        assert cut_off is not None and cut_off.rows == 0 and cut_off.is_due
        tables.erase(table, subject(user=ANNA))

        finished = tables.found(table, subject(user=ANNA))
        assert finished is not None and not finished.is_due
        assert traces(place, ANNA) == []


def test_files_left_behind_go_and_those_of_a_commit_under_way_stay(tmp_path: Path):
    table = written(tmp_path / "table")
    for name, hours in (("left-behind", 2), ("under-way", 0)):
        path = tmp_path / "table" / f"{name}.parquet"
        path.write_bytes(b"")
        os.utime(path, (time.time() - hours * 3600,) * 2)

    tables.erase(table, subject(user=ANNA))

    names = {path.name for path in (tmp_path / "table").glob("*.parquet")}
    assert "left-behind.parquet" not in names and "under-way.parquet" in names


def test_a_table_with_a_change_data_feed_is_refused_untouched(tmp_path: Path):
    table = written(tmp_path / "table", configuration={"delta.enableChangeDataFeed": "true"})

    with pytest.raises(UnsupportedError, match=r"change data feed.*nothing was deleted"):
        tables.erase(table, subject(user=ANNA))

    assert len(content(table)) == 3
