"""A replay of a shop that corrects what it said: features and labels are what was known, until it was known better."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.end_to_end.project import Project, project
from tests.end_to_end.shop import write_shop

SOURCE = Path(__file__).parent.parent / "second_use_case"
START, END = datetime(2024, 1, 20, tzinfo=UTC), datetime(2024, 1, 25, tzinfo=UTC)
TOLD, RUN = datetime(2024, 1, 22, 15, tzinfo=UTC), datetime(2024, 1, 23, tzinfo=UTC)
ORDERED = datetime(2024, 1, 21, 12, tzinfo=UTC)
ORDERS = "order_id,buyer,amount,placed_at,returned_at,told_at"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The lake of a replay in which order x1 of buyer z, 10 EUR and kept, becomes 30 EUR and returned at TOLD."""
    with project(SOURCE, tmp_path_factory.mktemp("corrections") / "my project", clock=END.isoformat()) as made:
        _declare_arrival(made)
        write_shop(made.settings.raw, days=24, orders=800)
        _tell(made.settings.raw)
        made.larder("replay", "--from", START.isoformat(), "--to", END.isoformat(), "--policy", "never")
        [found] = (made.settings.state / "replay").glob("*/prepared")
        yield found


@pytest.fixture(scope="module")
def stretches(lake: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((lake / "stretches.json").read_text())
    return found


def test_the_day_of_a_correction_is_a_stretch_of_its_own(stretches: list[dict[str, Any]]):
    ends = [datetime.fromisoformat(stretch["end"]) for stretch in stretches]

    assert ends == [RUN - timedelta(days=1), RUN, END]


def test_labels_are_as_they_were_known_at_each_run(lake: Path, stretches: list[dict[str, Any]]):
    table = str(lake / "lake" / "labels" / "returned_orders")
    versions = [stretch["versions"]["labels/returned_orders"] for stretch in stretches]

    found = [_of(DeltaTable(table, version=version).to_pyarrow_table(), "order_id", "x1") for version in versions]

    assert [(row["amount"], row["is_returned"]) for [row] in found] == [(10.0, False), (30.0, True), (30.0, True)]


def test_a_window_holds_the_correction_from_the_run_on_that_found_it(lake: Path, stretches: list[dict[str, Any]]):
    rows = DeltaTable(str(lake / "lake" / "gold" / "buyer_orders")).to_pyarrow_table()
    first = [row for row in _of(rows, "buyer", "z") if row["event_timestamp"] == ORDERED]

    told = sorted((row["known_at"], row["amount_sum_14d"]) for row in first)

    assert told == [(ORDERED, 10.0), (RUN, 30.0)]


def _declare_arrival(made: Project) -> None:
    path = made.home / "pipelines" / "returns.py"
    text = path.read_text().replace('arrives_at="event_timestamp"', 'arrives_at="told_at"')
    path.write_text(
        text.replace('Column("returned_at", "timestamp")),\n', 'Column("returned_at", "timestamp"), TOLD),\n', 1)
    )
    path.write_text(path.read_text().replace("ORDER = (", 'TOLD = Column("told_at", "timestamp")\nORDER = (', 1))


def _tell(raw: Path) -> None:
    """Every order is told when it is placed, and x1 once more, in a later file."""
    path = raw / "orders.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    placed = ORDERED.isoformat()
    told = [",".join([*row, row[3]]) for row in rows] + [f"x1,z,10,{placed},,{placed}"]
    path.write_text("\n".join([ORDERS, *told]) + "\n")
    returned = (TOLD - timedelta(hours=1)).isoformat()
    (raw / "orders_2.csv").write_text(f"{ORDERS}\nx1,z,30,{placed},{returned},{TOLD.isoformat()}\n")


def _of(rows: pa.Table, column: str, value: str) -> list[dict[str, Any]]:
    return [row for row in rows.to_pylist() if row[column] == value]
