from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake

from larder.contracts.errors import InvalidDataError, MissingColumnsError, MissingTableError
from larder.contracts.reports import read_report
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from serving.ask import labelled_requests, running_server
from serving.cli import ask

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
FIELDS = ["shop", "customer", "amount", "ordered_at"]


@pytest.fixture
def labels(settings: Settings) -> str:
    """Orders at 11, 12, 13 and 14 o'clock for 11, 12, ... money; whether the last is returned is not known yet."""
    hours = [NOON + timedelta(hours=i) for i in (2, -1, 0, 1)]
    instants = pa.array(hours, pa.timestamp("us", "UTC"))
    rows = {
        "shop": ["north"] * 4,
        "customer": [7] * 4,
        "amount": [float(at.hour) for at in hours],
        "ordered_at": instants,
        "event_timestamp": instants,
        "is_returned": [None, True, False, True],
        "known_at": instants,
    }
    table = Lake(settings.lake).labels("returns")
    write_deltalake(table, pa.table(rows))
    return table


def test_requests_are_the_rows_at_or_soon_after_the_instant_without_what_a_caller_cannot_know(labels: str):
    first, second = labelled_requests(labels, FIELDS, "is_returned", instant=NOON, count=2)

    assert first.request == {"shop": "north", "customer": 7, "amount": 12.0, "ordered_at": NOON}
    assert (first.outcome, second.outcome) == (False, True)
    assert second.request["amount"] == 13.0


def test_after_the_tables_end_the_last_rows_are_asked(labels: str):
    later = NOON + timedelta(days=900)

    assert [
        item.request["amount"] for item in labelled_requests(labels, FIELDS, "is_returned", instant=later, count=2)
    ] == [13.0, 14.0]


def test_a_label_table_that_cannot_be_asked_about_is_named(labels: str, settings: Settings):
    with pytest.raises(MissingTableError, match="larder ingest"):
        labelled_requests(f"{settings.lake}/nothing", FIELDS, "is_returned", instant=NOON, count=1)
    with pytest.raises(MissingColumnsError, match="colour"):
        labelled_requests(labels, [*FIELDS, "colour"], "is_returned", instant=NOON, count=1)


def test_ask_prints_and_reports_answers_beside_outcomes(server: Any, labels: str, settings: Settings):
    result = CliRunner().invoke(ask, obj=replace(settings, port=server.port), catch_exceptions=False)

    report: Any = read_report(settings, "ask")
    assert result.exit_code == 0
    assert "3 answers of returns version 1" in result.output
    assert [item["outcome"] for item in report["answers"]] == [False, True, None]
    assert report["answers"][0]["request"]["ordered_at"] == "2024-03-01T12:00:00Z"
    assert 0 < report["answers"][0]["answer"]["return_probability"] < 1
    assert report["answers"][0]["answer"]["features"]["amount"] == 12.0
    assert report["latency_ms"]["median"] > 0
    assert not report["is_hindsight"]
    assert "passed" not in result.output


def test_ask_says_when_features_may_know_the_outcome(server: Any, labels: str, settings: Settings):
    later = replace(settings, port=server.port, replay_at=NOON + timedelta(days=1))

    result = CliRunner().invoke(ask, obj=later, catch_exceptions=False)

    assert "instants that have passed: features may know" in " ".join(result.output.split())
    assert read_report(settings, "ask")["is_hindsight"]


def test_where_no_server_runs_one_is_started_and_stopped(
    labels: str,
    settings: Settings,
    promote: Any,
    materialize: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
):
    materialize()
    promote("1")
    monkeypatch.setenv("LARDER_HOME", str(settings.home))

    with running_server(settings, "returns") as started:
        assert started.model["version"] == "1"
    assert "Serving on" in (settings.state / "serve.log").read_text()


def test_another_models_server_is_not_asked(server: Any, settings: Settings):
    with (
        pytest.raises(InvalidDataError, match="'returns'"),
        running_server(replace(settings, port=server.port), "refunds"),
    ):
        pass
