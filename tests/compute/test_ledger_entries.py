"""What a run of features leaves in the ledger."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from larder.compute.job import Materialized
from larder.compute.ledger_entries import features_entry
from larder.compute.position import GoldPosition
from larder.ledger import Act, Ledger

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
POSITION = GoldPosition("lake/silver/sales", 7, NOON, "windows", 3)
IDLE = Materialized("idle", NOON, 0, 0, 0.1, position=POSITION)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl", "tester")


def test_one_entry_tells_of_each_view_with_news_what_it_rests_on_and_what_was_written(ledger: Ledger):
    sales = Materialized("sales", NOON, 5, 2, 0.1, removed=1, position=POSITION)
    shops = Materialized("shops", NOON, None, 0, 0.1, quarantined={"null key": 3})

    features_entry(ledger, [sales, IDLE, shops], at=NOON)

    (entry,) = ledger.entries()
    assert (entry.act, entry.subject, entry.at) == (Act.FEATURES, "features", NOON)
    assert entry.inputs["events"] == {"sales": {"table": "lake/silver/sales", "version": 7}}
    assert entry.outcome["views"] == {
        "sales": {"appended": 5, "pushed": 2, "removed": 1, "quarantined": {}},
        "shops": {"appended": None, "pushed": 0, "removed": 0, "quarantined": {"null key": 3}},
    }


def test_a_run_without_news_leaves_no_entry(ledger: Ledger):
    assert features_entry(ledger, [IDLE], at=NOON) is None
    assert ledger.entries() == []
