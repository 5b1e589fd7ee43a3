"""Damage to the files of a table is an error with the file's name, never a shorter result."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from larder.contracts.errors import InvalidDataError, LarderError, MissingColumnsError, MissingTableError
from larder.offline.history import History
from larder.offline.join.shares import file_shares, share_batches
from larder.offline.tables.columns import check_columns
from larder.offline.tables.delta_table import open_table, reading
from larder.offline.tables.integrity import check_content
from larder.offline.tables.log import lost_rows
from larder.offline.tables.opening import open_history

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A table in a folder with a space; versions 0 to 3 append the rows 0 to 3."""
    place = tmp_path / "the lake" / "sales"
    for row in range(4):
        write_deltalake(place, pa.table({"amount": [float(row)]}), mode="append")
    return place


def amounts(place: Path, version: int | None = None) -> list[float]:
    table = open_table(str(place), version)
    with reading(table):
        found = pa.table(table.scan())
    return sorted(found["amount"].to_pylist())


def commit(place: Path, version: int) -> Path:
    return place / "_delta_log" / f"{version:020}.json"


def data_file(place: Path) -> Path:
    return place / pa.table(DeltaTable(place).get_add_actions())["path"].to_pylist()[0]


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_at_a_line(file: Path) -> None:
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])


def with_an_action_garbled(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"add"', b'"adl"'))


def filled_with_zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


DAMAGES = [emptied, cut_in_half, cut_at_a_line, with_an_action_garbled, filled_with_zeros, Path.unlink]


def test_a_sound_table_is_read_at_each_version(place: Path):
    assert [amounts(place, version) for version in range(4)] == [[0.0], [0.0, 1.0], [0.0, 1.0, 2.0], amounts(place)]


def test_deltalake_alone_loses_the_rows_of_an_empty_commit_file(place: Path):
    emptied(commit(place, 2))

    assert sorted(DeltaTable(place).to_pyarrow_table()["amount"].to_pylist()) == [0.0, 1.0, 3.0]


@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_commit_file_is_refused_with_the_table_and_a_remedy(
    place: Path, damage: Callable[[Path], None], version: int
):
    damage(commit(place, version))

    with pytest.raises(InvalidDataError) as problem:
        amounts(place)

    assert str(place) in str(problem.value) and "backup" in str(problem.value)
    assert f"{version:020}.json" in str(problem.value) or "deltalake says" in str(problem.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_version_before_the_damage_is_still_read(place: Path, damage: Callable[[Path], None]):
    damage(commit(place, 2))

    assert amounts(place, 1) == [0.0, 1.0]


@pytest.mark.parametrize("damage", [emptied, cut_in_half, filled_with_zeros, Path.unlink])
def test_a_damaged_checkpoint_is_refused(place: Path, damage: Callable[[Path], None]):
    DeltaTable(place).create_checkpoint()
    damage(place / "_delta_log" / f"{3:020}.checkpoint.parquet")

    with pytest.raises(InvalidDataError, match="the lake/sales is damaged"):
        amounts(place)


def test_a_log_that_begins_with_its_checkpoint_is_sound_and_says_that_older_versions_are_gone(place: Path):
    DeltaTable(place).create_checkpoint()
    write_deltalake(place, pa.table({"amount": [4.0]}), mode="append")
    for version in range(4):
        commit(place, version).unlink()

    assert amounts(place) == [0.0, 1.0, 2.0, 3.0, 4.0]
    with pytest.raises(MissingTableError, match=r"Version 1 of .*cleaned up.*newest version is 4"):
        open_table(str(place), 1)


def test_a_column_that_it_lacks_is_named_where_the_log_has_no_version_to_hint_at(place: Path):
    DeltaTable(place).create_checkpoint()
    for version in range(3):
        commit(place, version).unlink()

    with pytest.raises(MissingColumnsError, match=r"lacks \['tax'\]"):
        check_columns(open_table(str(place)), ["amount", "tax"])


def test_a_version_that_never_was_is_named_beside_the_newest(place: Path):
    with pytest.raises(MissingTableError, match=r"no version 9; its newest is 3"):
        open_table(str(place), 9)


@pytest.mark.parametrize("damage", [emptied, cut_in_half, lambda file: file.write_bytes(file.read_bytes() + b"x")])
def test_a_data_file_of_another_size_is_refused_with_its_name(place: Path, damage: Callable[[Path], None]):
    file = data_file(place)
    damage(file)

    with pytest.raises(InvalidDataError, match=rf"{file.name} of version 3 of .*bytes"):
        amounts(place)


def test_a_data_file_that_cannot_be_decoded_is_refused_with_the_table(place: Path):
    filled_with_zeros(data_file(place))

    with pytest.raises(InvalidDataError, match=r"Version 3 of .*the lake/sales cannot be read"):
        amounts(place)


def test_a_data_file_that_was_removed_from_the_newest_version_is_named(place: Path):
    file = data_file(place)
    file.unlink()

    with pytest.raises(MissingTableError, match=rf"{file.name} of version 3 of .*removed.*backup"):
        amounts(place)


def test_a_pinned_version_that_was_vacuumed_says_so_and_names_the_newest(place: Path):
    write_deltalake(place, pa.table({"amount": [9.0]}), mode="overwrite")
    DeltaTable(place).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    with pytest.raises(MissingTableError, match=r"Version 3 of .*VACUUM; the newest version is [456]\. Pin a later"):
        amounts(place, 3)
    assert amounts(place) == [9.0]


def test_partitioned_files_with_odd_names_are_found(tmp_path: Path):
    write_deltalake(tmp_path, pa.table({"amount": [1.0, 2.0], "shop": ["a b", "ä:%/"]}), partition_by=["shop"])

    assert amounts(tmp_path) == [1.0, 2.0]


def test_commits_that_remove_compact_or_add_nothing_are_sound(place: Path):
    write_deltalake(place, pa.table({"amount": [4.0]}).slice(1), mode="append")
    DeltaTable(place).optimize.compact()
    DeltaTable(place).delete("amount = 1")
    write_deltalake(place, pa.table({"amount": [3.0, 3.0]}), mode="overwrite", predicate="amount = 3")

    assert amounts(place) == [0.0, 2.0, 3.0, 3.0]


def test_only_errors_of_the_scan_are_translated(place: Path):
    table = open_table(str(place))

    for problem in (KeyError("mine"), KeyboardInterrupt(), MissingTableError("said already"), MemoryError()):
        with pytest.raises(type(problem)), reading(table):
            raise problem
    for problem in (pa.ArrowInvalid("broken"), DeltaError("broken"), OSError("broken"), Exception("External error")):
        with pytest.raises(InvalidDataError, match="cannot be read"), reading(table):
            raise problem


def test_a_file_that_an_object_store_lacks_is_told_from_its_text(place: Path):
    missing = pa.ArrowInvalid("Object Store error: Object at location s3://lake/part-1.parquet not found: 404")

    with (
        pytest.raises(MissingTableError, match=r"s3://lake/part-1\.parquet of version 3"),
        reading(open_table(str(place))),
    ):
        raise missing


def test_a_line_that_is_no_action_is_damage():
    assert lost_rows(b"[1]\n") and lost_rows(b"\xff\n")


def test_a_commit_of_another_kind_or_without_statistics_is_not_judged():
    append = b'{"commitInfo":{"operation":"WRITE","operationParameters":{"mode":"Append"},"operationMetrics":'

    assert lost_rows(b'{"commitInfo":{"operation":"MERGE"}}\n\n{"remove":{"path":"x"}}\n') is None
    assert lost_rows(append + b'{"numOutputRows":"7"}}}\n{"add":{"path":"x"}}') is None
    assert lost_rows(append + b'{"numOutputRows":"0","numFiles":"1"}}}\n{"txn":{}}') is None
    assert lost_rows(append + b'{"numOutputRows":"7"}}}\n{"txn":{}}') == (
        "lists files with 0 of the 7 rows that it says it added"
    )


def spark_table(spark: "SparkSession", folder: Path) -> Path:
    place = folder / "by spark"
    for number in range(2):
        rows = spark.range(500).selectExpr("id", "rand(1) AS amount", f"'{number}' AS shop")
        rows.repartition(1).write.format("delta").mode("append").save(str(place))
    return place


def test_any_flipped_bit_in_what_spark_wrote_is_found(spark: "SparkSession", tmp_path: Path):
    place, chosen = spark_table(spark, tmp_path), random.Random(20)
    files = [*place.glob("*.parquet"), *(place / "_delta_log").glob("*.json")]
    assert check_content(open_table(str(place))).verified == 2

    for _ in range(60):
        file = chosen.choice(files)
        sound = file.read_bytes()
        damaged = bytearray(sound)
        damaged[chosen.randrange(len(sound))] ^= 1 << chosen.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(LarderError):
            check_content(open_table(str(place)))
        file.write_bytes(sound)


def test_a_flipped_bit_in_a_log_that_spark_wrote_is_found_by_every_read(spark: "SparkSession", tmp_path: Path):
    place = spark_table(spark, tmp_path)
    file = commit(place, 1)
    file.write_bytes(file.read_bytes().replace(b"499", b"399"))

    with pytest.raises(InvalidDataError, match=r"0001\.json of .* does not fit the checksum"):
        amounts(place)


def test_a_changed_value_that_spark_wrote_is_found_by_who_reads_files(spark: "SparkSession", tmp_path: Path):
    place = spark_table(spark, tmp_path)
    history = History(str(place), ("shop",), ("amount",), "sold_at", version=1)
    path = (file_shares(history, [], 1) or [[]])[0][0]
    file = place / path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(InvalidDataError, match=rf"Version 1 of {place} cannot be read.*CRC"):
        list(share_batches(history, ["amount"], [path]))
    with pytest.raises(InvalidDataError, match=rf"Version 1 of {place} cannot be read.*CRC"):
        list(open_history(history).scan(["amount"]))


def test_tables_to_which_spark_added_no_rows_or_files_without_rows_are_sound(spark: "SparkSession", tmp_path: Path):
    place = tmp_path / "sales"
    for rows in ("id < 3", "id < 0", "id = 0"):
        few = (
            spark.range(4, numPartitions=2)
            .selectExpr("CAST(id AS DOUBLE) AS amount")
            .where(rows.replace("id", "amount"))
        )
        few.write.format("delta").mode("append").save(str(place))

    assert amounts(place) == [0.0, 0.0, 1.0, 2.0]


def test_content_without_a_checksum_is_counted_as_such(place: Path):
    content = check_content(open_table(str(place)))

    assert (content.files, content.verified) == (4, 0)
