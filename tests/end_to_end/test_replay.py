"""A replayed spring of the second use case: arrivals, labels, monitors, policy and release under a moving clock."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult, materialize

from larder.contracts.monitoring import MONITORS
from larder.ledger import Ledger
from schedules.assets import challenger, champion, monitoring
from schedules.checks import decisions_are_whole, verdicts
from tests.end_to_end.project import CHECKOUT, Project, project
from tests.end_to_end.shop import write_shop

SOURCE = Path(__file__).parent.parent / "second_use_case"
START, END = datetime(2024, 2, 20, tzinfo=UTC), datetime(2024, 4, 10, tzinfo=UTC)
STOP, GOES_ON = datetime(2024, 3, 20, tzinfo=UTC), datetime(2024, 3, 27, tzinfo=UTC)
INCIDENTS = f"""
[[incident]]
kind = "view_stops"
view = "buyer_orders"
start = 2024-03-04T00:00:00Z
end = 2024-03-07T00:00:00Z
detected_by = ["freshness"]

[[incident]]
kind = "feed_stops"
table = "orders"
start = {STOP.isoformat()}
end = {GOES_ON.isoformat()}
detected_by = ["freshness"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(SOURCE, tmp_path_factory.mktemp("replay") / "my project", clock=END.isoformat()) as made:
        write_shop(made.settings.raw, days=100, orders=7_000)
        yield made


@pytest.fixture(scope="module")
def replayed(shop: Project) -> dict[str, Any]:
    path = shop.home / "incidents.toml"
    path.write_text(INCIDENTS)
    times = ("--from", START.isoformat(), "--to", END.isoformat())
    said = shop.larder("replay", *times, "--policy", "automatic", "--incidents", str(path), "--json")
    found: dict[str, Any] = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    return found


@pytest.fixture(scope="module")
def folder(shop: Project, replayed: dict[str, Any]) -> Path:
    [found] = (shop.settings.state / "replay").glob("*/automatic")
    return found


def test_the_last_line_says_how_good_the_answers_were_and_what_they_cost(replayed: dict[str, Any]):
    assert replayed["policy"] == "automatic"
    assert 0 < replayed["log_loss"] < 0.55 and replayed["roc_auc"] > 0.75 and replayed["kpi"] < 2
    assert replayed["labelled"] > 0.7 * replayed["answers"] > 2_000


def test_models_were_trained_and_released_for_reasons_on_record(replayed: dict[str, Any], folder: Path):
    ledger = Ledger(folder / "ledger.jsonl", "reader")
    acts = Counter(str(entry.act) for entry in ledger.entries())

    assert ledger.problem() is None
    assert acts["training"] == replayed["trainings"] >= 2
    assert acts["promotion"] == replayed["promotions"] >= 1
    assert acts["decision"] > acts["training"]
    assert all(entry.reason for entry in ledger.entries())


def test_each_incident_is_noticed_by_the_monitor_that_should(replayed: dict[str, Any]):
    view, feed = replayed["incidents"]

    assert (view["monitor"], view["subject"]) == ("freshness", "buyer_orders") and view["hours"] <= 24
    assert (feed["monitor"], feed["subject"], feed["hours"]) == ("freshness", "buyer_orders", 24)


def test_nothing_is_promoted_while_data_are_bad(folder: Path):
    released = [entry for entry in Ledger(folder / "ledger.jsonl", "").entries() if entry.act == "training"]

    assert [entry.at for entry in released if STOP + timedelta(days=1) < entry.at < GOES_ON] == []


def test_what_a_replay_leaves_is_a_project_whose_commands_work(shop: Project, folder: Path, monkeypatch):
    own = shop.environment | {"LARDER_STATE": str(folder)}
    monkeypatch.setattr(Project, "environment", own)

    assert "promotion" in shop.larder("models", "history")
    assert "chain holds" in shop.larder("ledger", "verify")


def test_dagster_takes_that_project_through_monitors_policy_and_release(shop: Project, folder: Path, monkeypatch):
    own = shop.environment | {"LARDER_STATE": str(folder)}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    before = len(Ledger(folder / "ledger.jsonl", "").entries())
    try:
        with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
            done = materialize([monitoring, challenger, champion, verdicts, decisions_are_whole], instance=instance)
    finally:
        monkeypatch.setattr(Project, "environment", own)
        shop.larder("down")

    entries = Ledger(folder / "ledger.jsonl", "").entries()
    assert entries[before].act == "monitoring"
    # A no for the reasons of the day before is not recorded again, so the decision may be one that the replay wrote.
    decision = [entry for entry in entries if entry.act == "decision"][-1]
    assert decision.at > END - timedelta(days=1)
    made, refused = decision.outcome["train"], decision.outcome["refusals"]
    last_words = "returns version" if made else "refused:" if refused else "because"
    assert _conclusion(done, "model__challenger").startswith(last_words)
    assert "returns" in _conclusion(done, "model__champion")
    checks = {check.check_name: check.passed for check in done.get_asset_check_evaluations()}
    assert checks["decisions_are_whole"] and checks["skew"]
    assert set(checks) == {*MONITORS, "decisions_are_whole"}


def test_times_that_make_no_sense_are_refused(shop: Project):
    said = shop.larder("replay", "--from", END.isoformat(), "--to", START.isoformat(), code=2)

    assert "a replay lasts a day at least" in said


def test_an_incident_that_would_do_nothing_is_refused_in_one_sentence(shop: Project):
    path = shop.home / "no_incidents.toml"
    path.write_text(INCIDENTS.replace('"orders"', '"ordres"'))
    times = ("--from", START.isoformat(), "--to", END.isoformat())
    said = shop.larder("replay", *times, "--incidents", str(path), code=2)

    assert "there is no raw table 'ordres'; there are buyers, orders." in said
    assert "Traceback" not in said and "Ingesting" not in said


def test_the_notebook_walks_an_incident_from_alarm_to_rollback(shop: Project, folder: Path, monkeypatch):
    """Last, since it writes to the ledger of the replay."""
    import nbformat
    from nbclient import NotebookClient

    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(CHECKOUT / "notebooks" / "incident.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300).execute(cwd=str(shop.home))

    assert "entries holds" in str(notebook.cells[-1].outputs)
    assert "it did worse at once" in str(notebook.cells[-2].outputs)


def _conclusion(done: ExecuteInProcessResult, node: str) -> str:
    """The last line of the command that made this asset."""
    (made,) = done.asset_materializations_for_node(node)
    return str(made.metadata["conclusion"].value).strip()
