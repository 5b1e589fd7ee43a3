"""Delta tables whose files Arrow reads itself, held against deltalake's own scan of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from larder.contracts.errors import UnsupportedError
from larder.offline.history import History
from larder.offline.retrieval.conditions import Between
from larder.offline.tables import opening
from larder.offline.tables.arrow_files import delta_dataset
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.opening import open_history

INSTANT = pa.timestamp("us", tz="UTC")
COLUMNS = ["shop", "region", "sold_at", "amount", "note"]
DAYS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 5, 1, tzinfo=UTC),
    datetime(2024, 5, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    None,
]

sales = st.fixed_dictionaries(
    {
        "shop": st.one_of(st.none(), st.integers(-3, 3)),
        "region": st.sampled_from(["north west", "100%20", "", "é/ü", None]),
        "sold_at": st.sampled_from(DAYS),
        "amount": st.one_of(st.none(), st.floats(width=32)),
    }
)
bounds = st.one_of(
    st.builds(Between, st.just("sold_at"), st.sampled_from([None, *DAYS[:-1]]), st.sampled_from(DAYS[:-1])),
    st.builds(Between, st.just("shop"), st.integers(-3, 3), st.integers(-3, 3)),
)


def read(history: History, where: list[Between]) -> list[str]:
    batches = open_history(history).scan(COLUMNS, where)
    return sorted(repr(row) for batch in batches for row in batch.to_pylist())


SCHEMA = pa.schema(
    {"shop": pa.int64(), "region": pa.string(), "sold_at": INSTANT, "amount": pa.float64(), "note": pa.string()}
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(sales, min_size=1, max_size=8), min_size=1, max_size=3),
    st.lists(bounds, max_size=2),
    st.booleans(),
)
def test_arrow_and_deltalake_read_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, commits: list[list[dict[str, object]]], where: list[Between], is_cut: bool
):
    place = str(tmp_path_factory.mktemp("lake") / "sales")
    for number, rows in enumerate(commits):
        # From the second commit on there is a column more, which the files of the first do not have.
        schema = SCHEMA if number else SCHEMA.remove(SCHEMA.get_field_index("note"))
        table = pa.Table.from_pylist([row | {"note": "new"} for row in rows], schema)
        write_deltalake(place, table, mode="append", schema_mode="merge", partition_by=["region"] if is_cut else None)
    write_deltalake(
        place, pa.Table.from_pylist([{"note": "empty"}], SCHEMA).slice(1), mode="append", schema_mode="merge"
    )
    history = History(place, ("shop",), ("amount",), "sold_at")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "_LARGEST_FILE", -1)
        expected = read(history, where)

    assert read(history, where) == expected


def test_rows_end_where_the_condition_does_to_the_microsecond(tmp_path: Path):
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    rows = [{"shop": 1, "sold_at": noon + timedelta(microseconds=step), "amount": float(step)} for step in range(-2, 3)]
    write_deltalake(str(tmp_path), pa.Table.from_pylist(rows, SCHEMA))
    history = History(str(tmp_path), ("shop",), ("amount",), "sold_at")

    scanned = open_history(history).scan(["sold_at", "amount"], [Between("sold_at", noon, noon)])

    assert [row["amount"] for batch in scanned for row in batch.to_pylist()] == [0.0]


def test_a_table_whose_files_need_an_engine_is_not_read_as_files(tmp_path: Path):
    write_deltalake(str(tmp_path), pa.table({"shop": [1]}), configuration={"delta.columnMapping.mode": "name"})

    with pytest.raises(UnsupportedError, match="columns are mapped"):
        delta_dataset(open_table(str(tmp_path)))


def read_after_editing(place: Path, written: str, instead: str, schema: pa.Schema, *, partition_by: str | None) -> list:
    """The rows of a table with one sale, whose first commit another writer than delta-rs would have written so."""
    rows = pa.Table.from_pylist([{"shop": 1, "sold_at": DAYS[2], "amount": Decimal("1.50")}], schema)
    write_deltalake(str(place), rows, partition_by=partition_by)
    log = place / "_delta_log" / "00000000000000000000.json"
    assert written in log.read_text()
    log.write_text(log.read_text().replace(written, instead))
    scan = open_history(History(str(place), ("shop",), ("amount",), "sold_at")).scan
    return [row for batch in scan(["shop", "amount"]) for row in batch.to_pylist()]


CENTS = pa.schema({"shop": pa.int64(), "sold_at": INSTANT, "amount": pa.decimal128(10, 2)})


def test_a_negative_decimal_may_name_a_partition(tmp_path: Path):
    rows = read_after_editing(tmp_path, '"amount":"1.50"', '"amount":"-1.50"', CENTS, partition_by="amount")

    assert rows == [{"shop": 1, "amount": Decimal("-1.50")}]


def test_a_shallow_clone_is_read_from_the_files_of_the_other_table(tmp_path: Path):
    (clone := tmp_path / "clone").mkdir()
    (other := tmp_path / "oth er").mkdir()

    rows = read_after_editing(
        other, '"path":"', f'"path":"{other.as_uri().replace("file://", "file:")}/', CENTS, partition_by=None
    )
    (other / "_delta_log").rename(clone / "_delta_log")

    cloned = open_history(History(str(clone), ("shop",), ("amount",), "sold_at"))
    assert rows == [row for batch in cloned.scan(["shop", "amount"]) for row in batch.to_pylist()]
    assert rows == [{"shop": 1, "amount": Decimal("1.50")}]
