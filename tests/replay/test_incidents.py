"""A file of incidents says what goes wrong, or why it cannot be read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from larder.contracts.errors import ConfigurationError, LarderError
from larder.contracts.ingestion import Column, Ingestion, RawTable
from replay.incidents import Incident, changed_text, read_incidents, require_meant

STOP = """
[[incident]]
kind = "feed_stops"
table = "orders"
start = 2024-03-05T00:00:00Z
end = 2024-03-07T00:00:00Z
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "incidents.toml"
    path.write_text(text)
    return path


def test_incidents_come_in_order_of_their_start(tmp_path: Path):
    second = STOP.replace("2024-03-05", "2024-03-01").replace("2024-03-07", "2024-03-02")

    found = read_incidents(written(tmp_path, STOP + second))

    assert [item.start.day for item in found] == [1, 5]
    assert found[1].is_under_way(datetime(2024, 3, 6, 23, tzinfo=UTC))
    assert not found[1].is_under_way(datetime(2024, 3, 7, tzinfo=UTC))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"feed_stops"', '"feed_explodes"', "possible are feed_stops, wrong_unit"),
        ('table = "orders"\n', "", "lacks table"),
        ("2024-03-07T00:00:00Z", "2024-03-07T00:00:00", "without a zone"),
        ("2024-03-07", "2024-03-04", "before it starts"),
        ("kind", "knid", "cannot be read"),
        ('table = "orders"', 'table = "orders"\nshare = 2', "share is 2"),
        ("[[incident]]", "[[incident", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, old: str, new: str, said: str):
    with pytest.raises(LarderError, match=said):
        read_incidents(written(tmp_path, STOP.replace(old, new)))


def test_an_absent_file_is_named(tmp_path: Path):
    with pytest.raises(LarderError, match=r"no file .*incidents\.toml"):
        read_incidents(tmp_path / "incidents.toml")


ORDERS = (Column("id"), Column("amount"), Column("placed_at", "timestamp"))
INGESTION = Ingestion(
    raw=(
        RawTable("orders", files="o*", key=("id",), columns=ORDERS, arrives_at="placed_at"),
        RawTable("buyers", files="b*", key=("id",), columns=(Column("id"),)),
    ),
    silver=(),
    labels=(),
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "ordres"}, "there is no raw table 'ordres'; there are orders, buyers"),
        ({"table": "buyers"}, "'buyers' does not say when its rows arrive"),
        (
            {"kind": "wrong_unit", "columns": ("price",), "factor": 60},
            "no column price; it has id, amount",
        ),
        ({"where": {"shop": "A"}}, "'orders' has no column shop"),
        ({"kind": "view_stops", "table": "", "view": "wether"}, "there is no view 'wether'; there are prices, weather"),
    ],
)
def test_an_incident_that_would_do_nothing_is_refused(changes: dict[str, Any], said: str):
    at = datetime(2024, 3, 1, tzinfo=UTC)
    incident = Incident("feed_stops", at, at, table="orders")
    require_meant([incident], INGESTION, ["weather", "prices"])

    with pytest.raises(ConfigurationError, match=said):
        require_meant([msgspec.structs.replace(incident, **changes)], INGESTION, ["weather", "prices"])


def test_numbers_change_and_what_is_no_number_stays():
    at = datetime(2024, 3, 1, tzinfo=UTC)
    seconds = Incident("wrong_unit", at, at, table="orders", columns=("delay",), factor=60)

    assert [changed_text(text, seconds) for text in ("2", "-1.5", "NA", "", None)] == ["120", "-90", "NA", "", None]
