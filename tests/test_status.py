"""What `larder status` shows of a lake."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from click.testing import CliRunner
from deltalake import write_deltalake

from larder.contracts.settings import load_settings
from larder.status import TableStatus, status, stored_tables


def test_tables_are_shown_however_deep_they_lie(tmp_path: Path):
    write_deltalake(str(tmp_path / "trips"), pa.table({"number": [1, 2]}))
    write_deltalake(str(tmp_path / "silver" / "trips"), pa.table({"number": [1]}))
    write_deltalake(str(tmp_path / "team" / "silver" / "trips"), pa.table({"number": [1, 2, 3]}))

    assert list(stored_tables(tmp_path)) == [
        TableStatus("silver/trips", 0, 1),
        TableStatus("team/silver/trips", 0, 3),
        TableStatus("trips", 0, 2),
    ]


def test_a_table_whose_files_have_no_statistics_is_shown_without_a_count(tmp_path: Path):
    place = tmp_path / "trips"
    write_deltalake(str(place), pa.table({"number": [1, 2]}))
    commit = place / "_delta_log" / "00000000000000000000.json"
    commit.write_text("\n".join(map(_without_stats, commit.read_text().splitlines())) + "\n")

    assert list(stored_tables(tmp_path)) == [TableStatus("trips", 0, None)]


def test_a_folder_with_brackets_in_its_name_is_shown_as_it_is(tmp_path: Path):
    nowhere = "redis://127.0.0.1:1/0"  # the embedded one would be started, and stay
    settings = load_settings(
        {"LARDER_HOME": str(tmp_path), "LARDER_LAKE": str(tmp_path / "lake[old]"), "LARDER_REDIS": nowhere}
    )

    assert f"{tmp_path}/lake[old]" in CliRunner().invoke(status, obj=settings).output


def test_a_damaged_table_is_told_and_the_others_are_shown(tmp_path: Path):
    for _ in range(3):
        write_deltalake(str(tmp_path / "lake" / "silver" / "orders"), pa.table({"number": [1]}), mode="append")
    write_deltalake(str(tmp_path / "lake" / "silver" / "trips"), pa.table({"number": [1, 2]}))
    (tmp_path / "lake" / "silver" / "orders" / "_delta_log" / "00000000000000000001.json").write_text("{cut off")
    settings = load_settings({"LARDER_HOME": str(tmp_path), "LARDER_LAKE": str(tmp_path / "lake"),
                              "LARDER_REDIS": "redis://127.0.0.1:1/0"})  # fmt: skip

    shown = CliRunner().invoke(status, obj=settings)

    orders, trips = stored_tables(tmp_path / "lake")
    assert (orders.version, trips) == (None, TableStatus("silver/trips", 0, 2))
    assert shown.exit_code == 0
    assert f"{tmp_path}/lake/silver/orders is damaged" in shown.output and "Restore the file" in shown.output


def _without_stats(action: str) -> str:
    found = json.loads(action)
    found.get("add", {}).pop("stats", None)
    return json.dumps(found)


def test_who_serves_is_found_without_the_libraries_of_the_command_line():
    code = "import sys; import larder.compute.champions; print(sorted({'larder.status', 'mlflow'} & {*sys.modules}))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
