"""What a run of features leaves in the ledger."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from larder.compute.job import Materialized
from larder.compute.ledger_entries import features_entry, unrecorded_rows
from larder.ledger import Act, Ledger
from larder.offline.tables.gold import GoldPosition

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
POSITION = GoldPosition("lake/silver/sales", 7, NOON, "windows", 3)
IDLE = Materialized("idle", NOON, 0, 0, 0.1, position=POSITION)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl", "tester")


def test_one_entry_tells_of_each_view_with_news_what_it_rests_on_and_what_was_written(ledger: Ledger):
    sales = Materialized("sales", NOON, 5, 2, 0.1, removed=1, position=POSITION, before=40)
    shops = Materialized("shops", NOON, None, 0, 0.1, quarantined={"null key": 3})

    features_entry(ledger, [sales, IDLE, shops], at=NOON, unrecorded={})

    (entry,) = ledger.entries()
    assert (entry.act, entry.subject, entry.at) == (Act.FEATURES, "features", NOON)
    assert entry.inputs["events"] == {"sales": {"table": "lake/silver/sales", "version": 7}}
    assert entry.outcome["views"] == {
        "sales": {"appended": 5, "pushed": 2, "removed": 1, "quarantined": {}, "rows": 45},
        "shops": {"appended": None, "pushed": 0, "removed": 0, "quarantined": {"null key": 3}},
    }


def test_a_run_without_news_leaves_no_entry(ledger: Ledger):
    assert features_entry(ledger, [IDLE], at=NOON, unrecorded={}) is None
    assert ledger.entries() == []


def test_rows_of_a_run_that_was_cut_off_before_its_entry_are_on_record_after_the_next(ledger: Ledger):
    first = Materialized("sales", NOON, 5, 2, 0.1, position=POSITION, before=0)
    features_entry(ledger, [first], at=NOON, unrecorded=unrecorded_rows(ledger, [first]))
    idle, news = (Materialized("sales", NOON, new, new, 0.1, position=POSITION, before=12) for new in (0, 3))

    for result in (idle, news):
        assert unrecorded_rows(ledger, [result]) == {"sales": 7}
    features_entry(ledger, [news], at=NOON, unrecorded={"sales": 7})

    entry = ledger.entries()[-1]
    assert "Rows of sales had changed without an entry" in entry.reason
    assert (entry.outcome["views"]["sales"]["unrecorded"], entry.outcome["views"]["sales"]["rows"]) == (7, 15)
    current = Materialized("sales", NOON, 0, 0, 0.1, position=POSITION, before=15)
    assert unrecorded_rows(ledger, [current]) == {}


def test_rows_that_were_erased_were_on_record_already(ledger: Ledger):
    first = Materialized("sales", NOON, 5, 2, 0.1, position=POSITION, before=0)
    features_entry(ledger, [first], at=NOON, unrecorded={})
    ledger.append(Act.ERASURE, "erasure", at=NOON, reason="Begun", inputs={"tables": {"gold/sales": 2}})
    ledger.append(Act.ERASURE, "erasure", at=NOON, reason="Done", outcome={"views": {"sales": {"rows": 3}}})

    current = Materialized("sales", NOON, 0, 0, 0.1, position=POSITION, before=3)

    assert unrecorded_rows(ledger, [current]) == {}


def test_where_files_or_older_entries_do_not_tell_the_rows_nothing_is_claimed(ledger: Ledger):
    untold = Materialized("sales", NOON, 5, 2, 0.1, position=POSITION)
    features_entry(ledger, [untold], at=NOON, unrecorded={})

    assert unrecorded_rows(ledger, [untold]) == {}
    assert unrecorded_rows(ledger, [Materialized("sales", NOON, 0, 0, 0.1, position=POSITION, before=5)]) == {}
