from datetime import UTC, datetime

import pytest

from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.versions.lock_file import PinnedTable, decoded, encoded, read_lock_file, write_lock_file

AT = datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
PIN = PinnedTable(version=3, rows=12, bytes=4096, schema="0f0f", committed_at=AT, table_id="7c")
TEXT = encoded({"silver/pans": PIN})


def test_a_pin_is_one_section_with_one_fact_per_line():
    assert TEXT.split("\n\n", 1)[1] == (
        '[tables."silver/pans"]\nversion = 3\nrows = 12\nbytes = 4096\nschema = "0f0f"\n'
        'committed_at = 2024-01-02T03:04:05.678000+00:00\ntable_id = "7c"\n'
    )


@pytest.mark.parametrize("name", ["silver/pans", 's3://bucket/a "b"\\c', "Töpfe/😀\t\x7f", "a.b"])
def test_any_name_comes_back(name):
    assert decoded(encoded({name: PIN}), where="data.lock") == {name: PIN}


def test_tables_are_sorted_and_uncounted_rows_left_out():
    uncounted = PinnedTable(version=0, bytes=1, schema="x", committed_at=AT, table_id="y")
    text = encoded({"b": PIN, "a": uncounted})

    assert text.index('[tables."a"]') < text.index('[tables."b"]')
    assert text.count("rows =") == 1 and decoded(text, where="data.lock")["a"].rows is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 3", "version = three", "Invalid value"),
        ("version = 3", 'version = "3"', "Expected `int`, got `str`"),
        ("version = 3", "version = -3", "Expected `int` >= 0"),
        ("version = 3", "", "missing required field `version`"),
        ("version = 3", "version = 3\nversion = 4", "Cannot overwrite"),
        ("rows = 12", "rwos = 12", "unknown field `rwos`"),
        ("+00:00", "", "timezone"),
        ("format = 1", "format = 2", "Invalid enum value 2"),
        ("format = 1", "", "missing required field `format`"),
        ("version = 3", "<<<<<<< HEAD\nversion = 3\n=======\nversion = 4\n>>>>>>> other", "unfinished git merge"),
    ],
)
def test_nonsense_in_the_file_is_named_with_the_remedy(old, new, said):
    with pytest.raises(InvalidDataError, match=r"data\.lock is no list of pinned tables") as raised:
        decoded(TEXT.replace(old, new), where="data.lock")

    assert said in str(raised.value) and "git checkout data.lock" in str(raised.value)


def test_a_file_that_is_absent_or_no_text_is_named(tmp_path):
    with pytest.raises(MissingTableError, match="larder data pin"):
        read_lock_file(tmp_path / "data.lock")
    (tmp_path / "data.lock").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidDataError, match="no text"):
        read_lock_file(tmp_path / "data.lock")


def test_writing_leaves_nothing_else_behind(tmp_path):
    write_lock_file(tmp_path / "new" / "data.lock", {"silver/pans": PIN})

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data.lock"]
    assert read_lock_file(tmp_path / "new" / "data.lock") == {"silver/pans": PIN}
