"""Raw files become tables: once, whatever is repeated, late, damaged or wrong."""

import gzip
import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from larder.contracts.errors import BusyError, ConfigurationError, InvalidDataError, MissingTableError
from larder.contracts.ingestion import Column, Ingestion
from larder.ledger import Act, Entry, Ledger, ledger_of
from larder.lock import only_one_ingestion
from pipelines import ingest as module
from pipelines.ingest import IngestionResult
from pipelines.ledger_entries import ingestion_entry
from pipelines.raw import RefusedFile
from tests.pipelines.conftest import SHOP, Project, new_project

HEADER = "order,customer,quantity,price,status,placed_at,note"


def order(number: object, *, customer: str = "ann", quantity: object = 1, price: object = 5, status: str = "open",
          placed_at: str = "2020-01-01T10:00:00Z", note: str = "") -> str:  # fmt: skip
    return f"{number},{customer},{quantity},{price},{status},{placed_at},{note}"


@dataclass(frozen=True)
class History:
    """A shop after its first files, a late file, and a run with nothing new but a file to refuse."""

    shop: Project
    first: IngestionResult
    late: IngestionResult
    versions: dict[str, int]
    """After the late file."""
    again: IngestionResult


@pytest.fixture(scope="module")
def history(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> History:
    shop = new_project(SHOP, spark, tmp_path_factory.mktemp("ingest"))
    _put_first_files(shop)
    first = shop.ingest()
    shop.put("orders_late.csv", HEADER, order(51, quantity=6), order(54), order(53))
    late = shop.ingest()
    versions = shop.versions()
    (shop.settings.raw / "orders_copy.csv").write_bytes((shop.settings.raw / "orders_misfits.csv").read_bytes())
    shop.put("orders_empty.csv", HEADER)
    return History(shop, first, late, versions, replace(shop, spark=None).ingest())


def _put_first_files(shop: Project) -> None:
    shop.put("customers.csv", "country,customer", "DE,ann")
    (shop.settings.raw / "customers_2.csv").write_text("customer,country,city\nbob,US,Reno")
    with gzip.open(shop.settings.raw / "customers_3.csv.gz", "wt") as file:
        file.write("customer,country\ncleo,FR\n")
    with zipfile.ZipFile(shop.settings.raw / "customers_4.csv.zip", "w") as archive:
        archive.writestr("any name.csv", "customer,country\r\ndan,IT\r\n")
    (shop.settings.raw / "customers_5.csv").write_bytes(b"customer,country\rfay,ES\r")
    shop.put("customers_bad.csv", "customer,nation", "eve,FR")
    shop.put(
        "orders_misfits.csv",
        HEADER,
        order("1.5"),
        order(2, quantity="two"),
        order(3, quantity=0),
        order(4, quantity=101),
        order(5, price="NaN"),
        order(6, price="1e999"),
        order(7, status="lost"),
        order(8, placed_at="2020-01-01T10:00:00"),
        order(9, placed_at="2020-02-30T10:00:00Z"),
        order(10, customer="NA"),
        order(11, quantity=10, price=1000),
        order(12) + ",one more",
        "13,ann",
        order(""),
        order("99999999999999999999"),
        order(16),
    )
    shop.put("orders_keys.csv", HEADER, order(21, quantity="x"), order(21), order(21), order(21, quantity=3), order(22))
    shop.put(
        "orders_quotes.csv",
        HEADER,
        order(31, note='"a, ""b""\nc"'),
        order(32, quantity="x"),
        order(33, note='19" wide'),
    )
    shop.put(
        "orders_typed.csv",
        HEADER,
        order("041", quantity=2, price="2.50"),
        order(42, customer="bob", status="paid"),
        order(43, customer="gus"),
    )
    shop.put("orders_x1.csv", HEADER, order(51), order(53))
    shop.put("orders_x2.csv", HEADER, order(51, quantity=4), order(52), order(53))


def _quarantined(shop: Project, file: str) -> list[tuple[object, ...]]:
    return [row[1:] for row in shop.quarantined("orders") if row[0] == file]


def _at(shop: Project, table: str, *, version: int) -> list[dict[str, object]]:
    rows = DeltaTable(f"{shop.settings.lake}/{table}", version=version).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: row["order"])


def test_rows_reach_bronze_as_text_and_silver_and_labels_typed(history: History):
    shop, placed = history.shop, datetime(2020, 1, 1, 10, tzinfo=UTC)

    raw = shop.rows("bronze/orders", "source_file", "row_number", "batch_id", "ingested_at", "order", "price")
    assert [row for row in raw if row[0] == "orders_typed.csv"] == [
        ("orders_typed.csv", 1, 0, datetime(2020, 1, 10, tzinfo=UTC), "041", "2.50"),
        ("orders_typed.csv", 2, 0, datetime(2020, 1, 10, tzinfo=UTC), "42", "5"),
        ("orders_typed.csv", 3, 0, datetime(2020, 1, 10, tzinfo=UTC), "43", "5"),
    ]
    assert [row for row in shop.rows("silver/orders") if row[0] in (41, 42)] == [
        (41, "ann", "DE", "open", 5.0, placed, None),
        (42, "bob", "US", "paid", 5.0, placed, None),
    ]
    assert shop.rows("labels/paid_orders") == [(42, placed, datetime(2020, 1, 2, 10, tzinfo=UTC))]


def test_each_table_says_how_many_rows_were_new_repeated_and_refused(history: History):
    counts = {item.table: item for item in history.first.tables}

    assert list(counts) == [
        "bronze/customers", "silver/customers", "bronze/orders", "silver/orders", "labels/paid_orders",
    ]  # fmt: skip
    orders, silver = counts["bronze/orders"], counts["silver/orders"]
    assert (orders.rows, orders.new, orders.unchanged, orders.quarantined) == (32, 11, 3, 18)
    assert (silver.rows, silver.new, silver.quarantined, silver.reason) == (11, 10, 1, "country is missing")


def test_each_misfit_goes_to_quarantine_with_file_row_column_and_value_and_the_rest_goes_on(history: History):
    shop = history.shop

    assert _quarantined(shop, "orders_misfits.csv") == [
        (1, "order", "1.5"),
        (2, "quantity", "two"),
        (3, "quantity", "0"),
        (4, "quantity", "101"),
        (5, "price", "NaN"),
        (6, "price", "1e999"),
        (7, "status", "lost"),
        (8, "placed_at", "2020-01-01T10:00:00"),
        (9, "placed_at", "2020-02-30T10:00:00Z"),
        (10, "customer", None),
        (11, "price", "1000"),
        (12, "malformed_record", order(12) + ",one more"),
        (13, "malformed_record", "13,ann"),
        (14, "order", None),
        (15, "order", "99999999999999999999"),
    ]
    assert [number for (number,) in shop.rows("silver/orders", "order") if number < 20] == [16]
    reasons = [reason for (reason,) in shop.rows("quarantine/orders", "reason")]
    assert "orders_misfits.csv row 2: quantity 'two' is no whole number" in reasons
    assert "orders_misfits.csv row 11: price '1000' is too much for ten pieces or more" in reasons


def test_of_one_key_in_a_file_the_first_row_stays_a_repetition_is_dropped_and_a_contradiction_refused(
    history: History,
):
    shop = history.shop

    assert {(21, 5.0), (22, 5.0)} <= set(shop.rows("silver/orders", "order", "total"))
    assert _quarantined(shop, "orders_keys.csv") == [(1, "quantity", "x"), (4, "order", "21")]
    assert ("orders_keys.csv row 4: order '21' has other content than row 2 with the same key",) in shop.rows(
        "quarantine/orders", "reason"
    )


def test_of_several_files_at_once_the_last_corrects_and_completes(history: History):
    rows = history.shop.rows("bronze/orders", "order", "source_file", "batch_id")
    assert ("51", "orders_x1.csv", 0) in rows
    assert ("51", "orders_x2.csv", 0) in rows

    assert {(52, 5.0), (53, 5.0)} <= set(history.shop.rows("silver/orders", "order", "total"))
    assert _quarantined(history.shop, "orders_x2.csv") == []


def test_a_late_file_corrects_and_completes(history: History):
    assert {(51, 30.0), (53, 5.0), (54, 5.0)} <= set(history.shop.rows("silver/orders", "order", "total"))
    item = history.shop.result("silver/orders", history.late)
    assert (item.rows, item.new, item.updated, item.unchanged) == (3, 1, 1, 1)
    assert _quarantined(history.shop, "orders_late.csv") == []


def test_a_corrected_row_that_no_longer_belongs_to_a_table_leaves_it_as_if_both_had_come_at_once(shop: Project):
    shop.put("customers.csv", "customer,country", "ann,DE")
    shop.put("orders_1.csv", HEADER, *(order(number, status="paid") for number in (1, 2, 3)))
    shop.ingest()
    shop.put("orders_2.csv", HEADER, order(1, status="open"), order(2, status="paid", quantity=2), order(4))
    late = shop.ingest()
    shop.put("orders_3.csv", HEADER, order(1, status="paid"), order(3, status="lost"))
    shop.ingest()

    item = shop.result("labels/paid_orders", late)
    assert (item.rows, item.new, item.updated, item.unchanged) == (2, 0, 1, 1)
    assert shop.rows("labels/paid_orders", "order") == [(1,), (2,), (3,)]  # the third's correction was refused
    before = {"version": shop.versions()[f"{shop.settings.lake}/labels/paid_orders"] - 1}
    assert [row["order"] for row in _at(shop, "labels/paid_orders", **before)] == [2, 3]


def test_a_rerun_a_renamed_copy_and_an_empty_file_add_no_version_and_start_no_spark(history: History):
    assert history.shop.versions() == history.versions
    assert (history.again.tables, history.again.known_files) == ((), 14)


def test_a_quoted_text_may_hold_commas_quotes_and_line_ends_without_moving_row_numbers(history: History):
    notes = dict(history.shop.rows("silver/orders", "order", "note"))

    assert (notes[31], notes[33]) == ('a, "b"\nc', '19" wide')
    assert _quarantined(history.shop, "orders_quotes.csv") == [(2, "quantity", "x")]


def test_packed_and_unterminated_files_and_columns_in_any_order_are_taken_and_further_columns_stay_in_bronze(
    history: History,
):
    shop = history.shop

    assert shop.rows("silver/customers") == [
        ("ann", "DE"), ("bob", "US"), ("cleo", "FR"), ("dan", "IT"), ("fay", "ES"),
    ]  # fmt: skip
    assert shop.rows("bronze/customers", "customer", "row_number", "source_file", "city") == [
        ("ann", 1, "customers.csv", None),
        ("bob", 1, "customers_2.csv", "Reno"),
        ("cleo", 1, "customers_3.csv.gz", None),
        ("dan", 1, "customers_4.csv.zip", None),
        ("fay", 1, "customers_5.csv", None),
    ]


def test_a_row_that_lacks_what_a_table_requires_is_refused_after_the_transform(history: History):
    assert 43 not in [number for (number,) in history.shop.rows("silver/orders", "order")]
    assert _quarantined(history.shop, "orders_typed.csv") == [(3, "country", None)]


def test_a_refused_file_is_listed_once_with_its_reason(history: History):
    (row,) = history.shop.rows("quarantine/raw_files", "table", "name", "reason")

    assert row[:2] == ("customers", "customers_bad.csv")
    assert "lacks the columns ['country']" in row[2] and "has ['customer', 'nation']" in row[2]
    assert [len(result.refused_files) for result in (history.first, history.late, history.again)] == [1, 1, 1]


def test_refused_files_are_recorded_while_no_other_ingestion_can_run(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
):
    shop = new_project(SHOP, spark, tmp_path)
    shop.put("customers.csv", "nothing")
    refused = list[int]()

    def record(files: Sequence[RefusedFile], *_: object) -> None:
        refused.append(len(files))
        with pytest.raises(BusyError), only_one_ingestion(shop.settings.state):
            pass

    monkeypatch.setattr(module, "_record_refused", record)
    shop.ingest()

    assert refused == [1]


def recorded(history: History, folder: Path, *results: IngestionResult) -> list[Entry]:
    """The entries that a new ledger has after these runs."""
    ledger, settings = Ledger(folder / "ledger.jsonl", "tester"), history.shop.settings
    for result in results:
        ingestion_entry(ledger, SHOP, result, settings, at=settings.clock())
    return ledger.entries()


def test_the_ledger_keeps_files_tables_and_rows_of_a_run_with_news_and_nothing_of_one_without(
    history: History, tmp_path: Path
):
    _, entry = recorded(history, tmp_path, history.first, history.late, history.again)

    assert (entry.act, entry.subject, entry.reason) == (Act.INGESTION, "ingestion", "1 new file.")
    assert list(entry.inputs["files"]) == ["orders_late.csv"] and len(entry.inputs["files"]["orders_late.csv"]) == 64
    assert entry.outcome["tables"]["silver/orders"] == {"version": 1, "new": 1, "updated": 1, "quarantined": 0}


@pytest.mark.parametrize("next_run", ["late", "again"])
def test_a_run_that_was_cut_off_before_it_was_recorded_is_on_record_after_the_next(
    history: History, tmp_path: Path, next_run: str
):
    (entry,) = recorded(history, tmp_path, getattr(history, next_run), history.again)

    assert "a run was cut off before it was recorded" in entry.reason
    assert entry.reason.startswith("1 new file. Other tables" if next_run == "late" else "Tables")
    found = entry.outcome["tables"]["silver/customers"]
    assert found == {"version": history.versions[f"{history.shop.settings.lake}/silver/customers"]}
    assert entry.outcome["tables"]["silver/orders"].get("new") == (1 if next_run == "late" else None)


def test_a_run_that_failed_or_was_interrupted_is_completed_by_the_next(shop: Project, monkeypatch: pytest.MonkeyPatch):
    shop.put("orders.csv", HEADER, order(1, status="paid"), order("x"))
    with pytest.raises(MissingTableError, match="silver table 'customers'"):
        shop.ingest()
    shop.put("customers.csv", "customer,country", "ann,DE")
    written = module._write_table

    def stopped(prepared, table, *rest):
        if table.name == "paid_orders":
            raise KeyboardInterrupt
        return written(prepared, table, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_write_table", stopped)
        shop.ingest()
    before = shop.versions()

    result = shop.ingest()

    assert shop.rows("labels/paid_orders", "order") == [(1,)]
    assert shop.rows("silver/orders", "order") == [(1,)]
    assert len(shop.rows("bronze/orders")) == 2
    assert shop.quarantined("orders") == [("orders.csv", 2, "order", "x")]
    assert shop.result("labels/paid_orders", result).new == 1
    changed = {table for table, version in shop.versions().items() if before.get(table) != version}
    assert changed == {f"{shop.settings.lake}/labels/paid_orders"}


def test_a_raw_file_of_which_an_erasure_left_nothing_is_not_ingested_again(shop: Project):
    shop.put("customers.csv", "customer,country", "ann,DE")
    only = shop.put("customers_2.csv", "customer,country", "bob,FR")
    shop.ingest()
    content_hash = hashlib.sha256(only.read_bytes()).hexdigest()
    DeltaTable(f"{shop.settings.lake}/bronze/customers").delete("customer = 'bob'")
    inputs = {"files": [content_hash]}
    ledger_of(shop.settings).append(Act.ERASURE, "erasure", at=datetime.now(UTC), reason="Begun.", inputs=inputs)

    again = shop.ingest()

    assert (again.tables, again.known_files) == ((), 2)


def test_copies_of_raw_files_that_a_killed_ingestion_left_go_with_the_next(shop: Project):
    left = shop.settings.state / "staging-killed" / "copy.csv"
    left.parent.mkdir(parents=True)
    left.write_text("customer,country\nann,DE\n")
    shop.put("customers.csv", "customer,country", "ann,DE")

    shop.ingest()

    assert not left.parent.exists()


def test_a_key_that_the_raw_key_does_not_imply_is_an_error(spark: SparkSession, tmp_path: Path):
    customers = replace(SHOP.silver[0], key=("country",))
    shop = new_project(Ingestion(raw=SHOP.raw[:1], silver=(customers,)), spark, tmp_path)
    shop.put("customers.csv", "customer,country", "ann,DE", "cleo,DE")

    with pytest.raises(InvalidDataError, match="'customers' would get 2 rows with the key DE"):
        shop.ingest()


def test_a_file_that_matches_no_table_or_is_absent_is_named(shop: Project, tmp_path: Path):
    (tmp_path / "invoices.csv").write_text("a\n1\n")

    with pytest.raises(ConfigurationError, match=r"invoices.csv matches no raw table.*orders\*\.csv"):
        shop.ingest(tmp_path / "invoices.csv")
    with pytest.raises(ConfigurationError, match="no file"):
        shop.ingest(tmp_path / "orders.csv")


def test_a_column_that_is_declared_later_is_added_and_filled_once_the_table_is_made_anew(shop: Project):
    shop.put("customers.csv", "customer,country", "ann,DE")
    shop.put("orders_1.csv", HEADER, order(1, quantity=3), order(2))
    shop.ingest()
    more = _with_orders(shop, *_ORDERS.columns, Column("quantity", "int64"))

    more.put("orders_2.csv", HEADER, order(2, quantity=7), order(3, quantity=5))
    result = more.result("silver/orders", more.ingest())
    added = more.rows("silver/orders", "order", "quantity")
    shutil.rmtree(f"{shop.settings.lake}/silver/orders")
    more.ingest()

    assert (result.new, result.updated) == (1, 1)
    assert added == [(1, None), (2, 7), (3, 5)]
    assert more.rows("silver/orders", "order", "quantity") == [(1, 3), (2, 7), (3, 5)]


def test_a_column_that_is_declared_with_another_type_is_refused_and_the_table_stays(shop: Project):
    shop.put("customers.csv", "customer,country", "ann,DE")
    shop.put("orders_1.csv", HEADER, order(1))
    shop.ingest()
    before = shop.rows("silver/orders")
    other = _with_orders(
        shop, *(replace(item, dtype="int64") if item.name == "total" else item for item in _ORDERS.columns)
    )

    other.put("orders_2.csv", HEADER, order(2, price=4.5))
    with pytest.raises(ConfigurationError, match="holds 'total' as double, and the pipelines file now declares bigint"):
        other.ingest()

    assert shop.rows("silver/orders") == before


_ORDERS = SHOP.silver[1]


def _with_orders(shop: Project, *columns: Column) -> Project:
    silver = (SHOP.silver[0], replace(_ORDERS, columns=columns))
    return replace(shop, ingestion=replace(SHOP, silver=silver))


@pytest.mark.parametrize("table", ["silver/customers", "quarantine/raw_files"])
def test_a_damaged_log_is_told_with_the_table_and_a_remedy(shop: Project, table: str):
    shop.put("customers.csv", "customer,country", "ann,DE")
    shop.put("orders_0.csv", "nothing,of,this")
    shop.ingest()
    (Path(shop.settings.lake) / table / "_delta_log" / "00000000000000000000.json").write_text("{cut off")

    shop.put("orders_1.csv", "nothing,of,that")
    with pytest.raises(InvalidDataError, match=f"{table} is damaged.*Restore the file"):
        shop.ingest()
