"""`larder data` as a user types it."""

import os
import re
import shutil
import subprocess
import sys

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingTableError
from larder.versions.lock_file import read_lock_file
from larder.versions.pins import checked_out, checkout_file
from tests.versions.conftest import PANS, delete_files


def pinned(settings) -> dict[str, int]:
    return {name: pin.version for name, pin in read_lock_file(settings.home / "data.lock").items()}


def append(place: str) -> None:
    write_deltalake(place, pa.table({"pan": ["d"], "kg": [0.5], "metal": ["tin"]}), mode="append")


def test_pin_writes_every_table_of_the_lake(settings, pans, larder_data):
    write_deltalake(f"{settings.lake}/gold/deep/er", pa.table({"a": [1]}))

    shown = larder_data("pin").output

    assert pinned(settings) == {"gold/deep/er": 0, PANS: 2}
    assert "silver/pans" in shown and "gold/deep/er" in shown


def test_pin_of_a_named_table_moves_only_that_one(settings, pans, larder_data):
    write_deltalake(f"{settings.lake}/gold/lids", pa.table({"a": [1]}))
    larder_data("pin")
    append(pans)
    append(pans)

    larder_data("pin", f"{PANS}@3")

    assert pinned(settings) == {"gold/lids": 0, PANS: 3}


def test_pin_takes_a_table_by_its_place(settings, pans, larder_data, tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    write_deltalake(elsewhere, pa.table({"a": [1]}))

    larder_data("pin", elsewhere)

    assert pinned(settings) == {elsewhere: 0}


def test_pinning_twice_writes_the_same_bytes(settings, pans, larder_data):
    larder_data("pin")
    before = (settings.home / "data.lock").read_bytes()
    larder_data("pin")

    assert (settings.home / "data.lock").read_bytes() == before


def test_diff_tells_rows_schema_and_statistics(settings, pans, larder_data):
    larder_data("pin", f"{PANS}@0")

    lines = larder_data("diff").output.splitlines()

    assert lines == [
        "silver/pans  version 0 -> 2",
        "  rows    2 -> 1  (at most 1 added, at most 2 removed)",
        "  schema  + metal string",
        "  column  pan: a .. b, 0 nulls -> a .. a, 0 nulls",
        "  column  kg: 1.0 .. 2.0, 0 nulls -> 9.0 .. 9.0, 0 nulls",
        "0 tables are at the same version.",
    ]


def test_diff_of_two_versions_of_a_table(pans, larder_data):
    assert "rows    2 -> 3  (1 added, 0 removed)" in larder_data("diff", f"{PANS}@0", f"{PANS}@1").output


def test_diff_of_two_pin_files_and_of_a_git_revision(settings, pans, larder_data):
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, *arguments], cwd=settings.home, check=True, capture_output=True)

    larder_data("pin", f"{PANS}@0")
    git("init")
    git("add", "data.lock")
    git("commit", "-m", "pins")
    shutil.copy(settings.home / "data.lock", settings.home / "old.lock")
    larder_data("pin", f"{PANS}@1")

    shown = [larder_data("diff", before, "data.lock").output for before in ("old.lock", "HEAD")]

    assert shown[0] == shown[1] and "silver/pans  version 0 -> 1\n" in shown[0]


def test_diff_names_new_and_vanished_tables(settings, pans, larder_data):
    write_deltalake(f"{settings.lake}/gold/lids", pa.table({"a": [1]}))
    larder_data("pin", "gold/lids")
    shutil.rmtree(f"{settings.lake}/gold/lids")

    shown = larder_data("diff").output

    assert "silver/pans  only in current" in shown
    assert "gold/lids  There is no Delta table at" in shown


def test_diff_with_nothing_that_can_be_understood_says_what_can(settings, pans, larder_data):
    with pytest.raises(ConfigurationError, match="'nonsense' is neither a pin file, nor <table>@<version>"):
        larder_data("diff", "nonsense")
    with pytest.raises(MissingTableError, match="larder data pin"):
        larder_data("diff")


def test_checkout_and_release(settings, pans, larder_data):
    larder_data("pin", f"{PANS}@1")
    append(pans)

    assert "silver/pans" in larder_data("checkout").output
    assert {name: pin.version for name, pin in checked_out(settings).items()} == {PANS: 1}
    assert DeltaTable(pans).version() == 3, "no table is written"
    assert "1 tables are read at their latest" in larder_data("checkout", "--latest").output
    assert not checkout_file(settings).exists()


def test_a_checkout_of_one_table_joins_the_others(settings, pans, larder_data):
    write_deltalake(f"{settings.lake}/gold/lids", pa.table({"a": [1]}))
    larder_data("pin")
    larder_data("checkout", PANS)
    larder_data("checkout", "gold/lids")

    larder_data("checkout", "--latest", PANS)

    assert set(checked_out(settings)) == {"gold/lids"}
    with pytest.raises(ConfigurationError, match=r"\['silver/pans'\] are not checked out"):
        larder_data("checkout", "--latest", PANS)


def test_a_checkout_is_refused_whole_when_one_version_lacks_files(settings, pans, larder_data):
    write_deltalake(f"{settings.lake}/gold/lids", pa.table({"a": [1]}))
    larder_data("pin")
    delete_files(pans, [uri.rpartition("/")[2] for uri in DeltaTable(pans).file_uris()])

    with pytest.raises(MissingTableError, match=r"version 2 of .* was removed"):
        larder_data("checkout")
    assert checked_out(settings) == {}


def test_a_checkout_of_a_table_that_was_written_anew_is_refused(settings, pans, larder_data):
    larder_data("pin", f"{PANS}@0")
    shutil.rmtree(pans)
    write_deltalake(pans, pa.table({"pan": ["a", "b"], "kg": [1.0, 2.0]}))

    with pytest.raises(MissingTableError, match="is not the table that was pinned"):
        larder_data("checkout")


def test_a_pin_file_edited_by_hand_is_refused_before_anything_changes(settings, pans, larder_data):
    larder_data("pin")
    path = settings.home / "data.lock"
    path.write_text(path.read_text().replace("version = 2", "version = latest"))

    for command in (["checkout"], ["diff"], ["vacuum", "--retention-hours", "0"], ["log", PANS], ["pin", PANS]):
        with pytest.raises(InvalidDataError, match="no list of pinned tables"):
            larder_data(*command)
    assert checked_out(settings) == {} and DeltaTable(pans).version() == 2


def test_log_marks_who_pins_a_version(settings, pans, larder_data):
    larder_data("pin", f"{PANS}@1")
    larder_data("checkout")

    rows = [re.split(r"  +", line.strip()) for line in larder_data("log", PANS).output.splitlines()[2:]]

    assert [(row[0], *row[2:]) for row in rows] == [
        ("2", "WRITE", "not stated", "1"),
        ("1", "WRITE", "+1", "3", "data.lock, data.checkout"),
        ("0", "WRITE", "+2", "2"),
    ]


def test_vacuum_says_what_is_kept_for_whom(settings, pans, larder_data):
    larder_data("pin", f"{PANS}@0")

    dry = larder_data("vacuum", "--retention-hours", "0", "--dry-run").output
    assert dry == "silver/pans  1 data files would be deleted\n  version 0 kept for data.lock\n"
    assert "silver/pans  1 data files deleted" in larder_data("vacuum", PANS, "--retention-hours", "0").output
    assert "0 data files deleted" in larder_data("vacuum", "--retention-hours", "0").output


def test_every_command_says_that_a_checkout_is_in_force(settings, pans, larder_data):
    larder_data("pin")
    larder_data("checkout")

    environment = os.environ | {"LARDER_REDIS": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        [sys.executable, "-m", "larder", "status"], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0 and "Retrievals read 1 tables at checked out versions" in done.stderr


def test_larder_data_imports_neither_feast_nor_spark_nor_mlflow(settings, pans):
    code = (
        "import sys; from larder.cli import larder; larder(['data', 'pin'], standalone_mode=False); "
        "print(sorted({'feast', 'pyspark', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
