"""JSON lines come out as the CSV text that a declared type asks for."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from larder.contracts.ingestion import Column, RawTable
from pipelines.raw import RawFile, RefusedFile, checked_file

TABLE = RawTable(
    "orders", files="orders*.jsonl", key=("order",), columns=(Column("order"), Column("price", nullable=False))
)


def _checked(folder: Path, content: str | bytes, table: RawTable = TABLE) -> RawFile | RefusedFile:
    path, staging = folder / "orders.jsonl", folder / "staging"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    staging.mkdir(exist_ok=True)
    return checked_file(path, table, root=folder, staging=staging)


def _rows(folder: Path, content: str | bytes, table: RawTable = TABLE) -> list[list[str]]:
    """With the header."""
    file = _checked(folder, content, table)
    assert isinstance(file, RawFile)
    with open(file.staged, newline="") as staged:
        rows = list(csv.reader(staged))
    assert tuple(rows[0]) == file.columns
    return rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (False, "false"), (3, "3"), (3.0, "3"), (0.25, "0.25"), (10**25, str(10**25)),
        ("a,b", "a,b"), ('say "hi"\n', 'say "hi"\n'), ([1, None], "[1,null]"), ({"a": "ü"}, '{"a":"ü"}'),
    ],
)  # fmt: skip
def test_values_come_as_text(tmp_path: Path, value: object, text: str):
    assert _rows(tmp_path, json.dumps({"order": 1, "price": value}) + "\n")[1] == ["1", text]


def test_keys_may_come_in_any_order_and_be_absent(tmp_path: Path):
    lines = '\ufeff{"order":1,"price":2}\r\n\r\n{"note":"late","order":2}'

    assert _rows(tmp_path, lines) == [["order", "price", "note"], ["1", "2", ""], ["2", "", "late"]]


def test_a_column_that_may_be_null_may_be_absent_from_all_lines(tmp_path: Path):
    table = replace(TABLE, columns=(*TABLE.columns, Column("coupon")))

    assert _rows(tmp_path, '{"order":1,"price":2}\n', table) == [["order", "price", "coupon"], ["1", "2", ""]]


def test_a_line_that_is_no_object_has_another_number_of_values(tmp_path: Path):
    broken = '{"order":1,"price":2}\n{"order":2,\n[3]\n{"order":4,"price":NaN}\n'
    single = replace(TABLE, columns=(Column("order"),))

    assert _rows(tmp_path, broken)[2:] == [['{"order":2,'], ["[3]"], ['{"order":4,"price":NaN}']]
    assert _rows(tmp_path, '{"order":1}\n"x"\n', single)[2:] == [['"x"', ""]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b'[{"order":1,"price":2}]\n', "does not begin with a JSON object"),
        (b"order,price\n1,2\n", "does not begin with a JSON object"),
        (b'{"order":1,"price":2}\n{"order":2,"pri', "ends within its last line; it is cut off"),
        (b'{"order":1,"price":2}\n{"order":"\xff","price":3}\n', "no UTF-8 in line 2"),
        (b'{"order":1,"cost":2}\n', "lacks the columns ['price']; its objects have ['order', 'cost']"),
        (b'{"order":1,"price":2,"batch_id":3}\n', "names the columns ['batch_id']"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, reason: str):
    refused = _checked(tmp_path, content)

    assert isinstance(refused, RefusedFile)
    assert refused.reason.startswith("orders.jsonl ")
    assert reason in refused.reason


def test_a_last_line_without_end_is_refused_where_that_is_declared(tmp_path: Path):
    whole = '{"order":1,"price":2}'

    assert isinstance(_checked(tmp_path, whole), RawFile)
    assert isinstance(_checked(tmp_path, whole, replace(TABLE, final_newline=True)), RefusedFile)
