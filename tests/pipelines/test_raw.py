"""A raw file is taken whole or not at all, and what is wrong with it is named."""

import gzip
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from larder.contracts.ingestion import Column, Ingestion, RawTable
from larder.contracts.settings import load_settings
from pipelines.raw import RawFile, RefusedFile, checked_file, provide_example, raw_folder, raw_paths

TABLE = RawTable("orders", files="orders*.csv", key=("order",), columns=(Column("order"), Column("price")))


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


def _checked(path: Path, staging: Path, table: RawTable = TABLE) -> RawFile | RefusedFile:
    return checked_file(path, table, root=path.parent, staging=staging)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"order,cost\n1,2\n", r"lacks the columns \['price'\]; as CSV .* has \['order', 'cost'\]"),
        (b"order;price\n1;2\n", r"as CSV with ',' between values its first line has \['order;price'\]"),
        (b"\norder,price\n1,2\n", r"lacks the columns \['order', 'price'\]; .* its first line has \[\]"),
        (b"order,price,price\n1,2,3\n", r"names the columns \['price', 'price'\] twice"),
        (b"order,price,batch_id\n1,2,3\n", r"names the columns \['batch_id'\]"),
        (b"order,price\n1,2\n2,\xff3\n", "no UTF-8 in line 3, column 'price'"),
        ("order,price\n1,2\n".encode("utf-16"), "no UTF-8: its first line holds zero bytes, as UTF-16 has"),
        (b"order,price\n1,2\n2", "ends within line 3, column 'order'; it is cut off"),
        (b'order,price\n1,2\n2,"19\n', "quoted text that never ends"),
        (b'order,price\n1,2\n2,"19"" wide', "quoted text that never ends"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, staging: Path, content: bytes, reason: str):
    path = tmp_path / "orders.csv"
    path.write_bytes(content)

    refused = _checked(path, staging)

    assert isinstance(refused, RefusedFile)
    assert refused.reason.startswith("orders.csv ")
    assert re.search(reason, refused.reason)


def test_a_packed_file_cut_in_the_middle_is_refused(tmp_path: Path, staging: Path):
    content = "order,price\n" + "".join(f"{number},{number * 7919 % 1013}\n" for number in range(1000))
    packed, zipped = tmp_path / "orders.csv.gz", tmp_path / "orders.csv.zip"
    packed.write_bytes(gzip.compress(content.encode()))
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("orders.csv", content)
    whole = [_checked(path, staging) for path in (packed, zipped)]
    for path in (packed, zipped):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    cut = [_checked(path, staging) for path in (packed, zipped)]

    assert [type(file) for file in whole] == [RawFile, RawFile]
    assert len({file.content_hash for file in whole if isinstance(file, RawFile)}) == 1
    assert [type(file) for file in cut] == [RefusedFile, RefusedFile]


@pytest.mark.parametrize(
    ("compression", "at", "byte", "reason"),
    [
        (zipfile.ZIP_STORED, 6, 1, "is encrypted, .* without a password"),
        (zipfile.ZIP_STORED, 8, 9, "compression method is not supported.* with deflate"),
        (zipfile.ZIP_LZMA, 45, 0xFF, "it is damaged"),
        (zipfile.ZIP_STORED, 30, 0xFF, "it is damaged"),
    ],
)
def test_an_archive_that_python_cannot_unpack_is_refused(
    tmp_path: Path, staging: Path, compression: int, at: int, byte: int, reason: str
):
    path = tmp_path / "orders.csv.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("\u00f6rders.csv", "order,price\n1,2\n" * 50)
    odd = bytearray(path.read_bytes())
    # Of the local header: flags, method, parameters of the compression, name. The first two are also in the directory.
    odd[at] = byte
    if at < 10:
        odd[odd.rindex(b"PK\1\2") + at + 2] = byte
    path.write_bytes(odd)

    refused = _checked(path, staging)

    assert isinstance(refused, RefusedFile)
    assert re.search(reason, refused.reason)


@pytest.mark.parametrize(
    "content",
    ["order,price\n1,2\n2,19", 'order,price\n1,"2\n3"', 'order,price\n19" screen,2\n', 'order,price\n19" screen,2'],
)
def test_a_last_line_without_end_and_a_single_quote_within_a_text_are_taken(
    tmp_path: Path, staging: Path, content: str
):
    path = tmp_path / "orders.csv"
    path.write_text(content)

    assert isinstance(_checked(path, staging), RawFile)


def test_a_last_line_without_end_is_refused_where_that_is_declared(tmp_path: Path, staging: Path):
    path = tmp_path / "orders.csv"
    path.write_text("order,price\n1,2\n2,19")

    refused = _checked(path, staging, replace(TABLE, final_newline=True))

    assert isinstance(refused, RefusedFile)
    assert "ends within line 3, column 'price'" in refused.reason


@pytest.mark.parametrize(
    ("content", "has_rows"),
    [
        (b"order,price", False), (b"order,price\r\n", False), (b"order,price\r", False),
        (b"order,price\n1,2\n", True), (b"order,price\r1,2\r", True), (b"order,price\r\n1,2", True),
    ],
)  # fmt: skip
def test_lines_may_end_as_any_system_ends_them(tmp_path: Path, staging: Path, content: bytes, has_rows: bool):
    path = tmp_path / "orders.csv"
    path.write_bytes(content)

    file = _checked(path, staging)

    assert isinstance(file, RawFile)
    assert file.has_rows is has_rows


def test_files_are_found_by_pattern_in_one_walk_and_others_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("orders_2.csv", "2020/orders_1.csv.gz", "readme.txt", ".orders.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    walks, walk = list[Path](), Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda path, pattern: walks.append(path) or walk(path, pattern))

    found = raw_folder(tmp_path, [TABLE])

    assert [path.name for path in found.by_table["orders"]] == ["orders_1.csv.gz", "orders_2.csv"]
    assert found.others == [Path("readme.txt")]
    assert list(found.by_table) == ["orders"] and walks == [tmp_path]


def test_a_pattern_may_name_the_last_folders(tmp_path: Path):
    table = replace(TABLE, files="orders/*.parquet")
    for name in ("orders/part-0.parquet", "2020/orders/part-1.parquet", "refunds/part-0.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = raw_paths(tmp_path, [table])["orders"]

    assert found == [tmp_path / "2020/orders/part-1.parquet", tmp_path / "orders/part-0.parquet"]


def test_the_example_is_copied_once_into_an_empty_folder(tmp_path: Path):
    (tmp_path / "orders.csv").write_text("order,price\n")
    ingestion = Ingestion(raw=(TABLE,), silver=(), example=lambda: (tmp_path / "orders.csv",))
    settings = replace(load_settings({}), raw=tmp_path / "state" / "raw")

    provide_example(ingestion, settings)
    (settings.raw / "orders.csv").write_text("mine")
    provide_example(ingestion, settings)

    assert (settings.raw / "orders.csv").read_text() == "mine"
