"""`larder monitor` on a project without Redis, server or registry: it says what it cannot tell, and records it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from larder.contracts.monitoring import Verdict
from larder.contracts.settings import Settings, load_settings
from larder.contracts.tables import Lake
from larder.findings import read_findings
from larder.ledger import Act, ledger_of
from monitoring.monitor_command import EXIT_CODES, monitor, worst
from monitoring.reports.findings_console import print_findings
from tests.monitoring.library import MODEL, NOW, WINDOW, answers_table, baseline, features, write_answers, write_model

TRAINING_FILE = "from tests.monitoring.library import OBJECTIVE\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for folder in ("feature_repo", "training"):
        (tmp_path / folder).mkdir()
    (tmp_path / "feature_repo" / f"{MODEL}.py").write_text("")
    (tmp_path / "training" / f"{MODEL}.py").write_text(TRAINING_FILE)
    made = load_settings(
        {"LARDER_HOME": str(tmp_path), "LARDER_CLOCK": NOW.isoformat(), "LARDER_PORT": "9", "LARDER_REDIS": "none"}
    )
    write_model(made, baseline())
    values = features(np.random.default_rng(1), 400)
    write_answers(made, answers_table(values | {"pages": [None] * 400}))
    return made


def called(settings: Settings, *options: str) -> Result:
    return CliRunner().invoke(monitor, list(options), obj=settings)


def test_an_alarm_is_the_exit_code_the_table_and_the_record(settings: Settings):
    result = called(settings)

    assert result.exit_code == 2
    assert "nulls" in result.stdout and "alarm" in result.stdout
    stored = read_findings(Lake(settings.lake).monitoring(MODEL), until=NOW)
    assert worst(stored) is Verdict.ALARM
    [entry] = ledger_of(settings).entries(acts=(Act.MONITORING,))
    assert any("nulls of pages" in alarm for alarm in entry.outcome["alarms"])


def test_a_ledger_that_nothing_can_follow_stops_it_before_anything_is_found(settings: Settings):
    ledger_of(settings).path.write_text("no entry\n")

    result = called(settings)

    assert "is no ledger entry" in result.output
    assert read_findings(Lake(settings.lake).monitoring(MODEL), until=NOW) == []


def test_what_cannot_be_reached_is_named_and_hides_nothing_else(settings: Settings):
    found = json.loads(called(settings, "--json").stdout)

    unknown = {item["monitor"]: item["evidence"] for item in found if item["verdict"] == "cannot tell"}
    assert set(unknown) == {"freshness", "skew", "labels", "quality", "expected_quality", "service"}
    assert "feature_store.yaml" in unknown["freshness"] and "larder serve" in unknown["service"]


def test_another_instant_is_looked_at_with_its_own_window(settings: Settings):
    result = called(settings, "--json", "--at", "2024-03-13T00:00:00Z")

    assert result.exit_code == 3
    assert {item["window_end"] for item in json.loads(result.stdout) if item["monitor"] == "drift"} == {
        "2024-03-13T00:00:00Z"
    }


def test_an_instant_without_a_time_zone_is_refused(settings: Settings):
    assert "no time zone" in called(settings, "--at", "2024-03-13T00:00:00").output


def test_the_exit_code_is_the_worst_verdict():
    ok, alarm = (WINDOW.judged("drift", "pages", "psi", 1, 2, verdict, "") for verdict in (Verdict.OK, Verdict.ALARM))
    unknown = WINDOW.unknown("drift", "pages", "rows", "")

    assert [EXIT_CODES[worst(found)] for found in ([ok], [ok, unknown], [unknown, alarm, ok], [])] == [0, 3, 2, 0]


def test_alarms_come_first_and_quiet_features_share_a_line(capsys: pytest.CaptureFixture[str]):
    from rich.console import Console

    quiet = [WINDOW.judged("nulls", f"f{i}", "null_share", 0.1, 0.2, Verdict.OK, "") for i in range(9)]
    loud = WINDOW.judged("drift", "pages", "psi", 0.9, 0.2, Verdict.ALARM, "It moved.")

    print_findings(Console(width=160), [*quiet, loud], title="Findings")

    lines = capsys.readouterr().out.splitlines()
    place = {name: next(i for i, line in enumerate(lines) if name in line) for name in ("It moved.", "f0, f1, f2, f3")}
    assert place["It moved."] < place["f0, f1, f2, f3"] and "and 5 more" in lines[place["f0, f1, f2, f3"]]


def test_the_page_and_the_metrics_show_what_was_found(settings: Settings, tmp_path: Path):
    called(settings, "--html", str(tmp_path / "pages" / "page.html"))

    assert "nulls" in (tmp_path / "pages" / "page.html").read_text()
    assert 'larder_monitor_verdict{metric="null_share",monitor="nulls",subject="pages"} 2.0' in metrics_file(settings)


def test_a_look_at_the_past_leaves_the_metrics_of_now(settings: Settings):
    called(settings)
    before = metrics_file(settings)

    called(settings, "--at", "2024-03-13T00:00:00Z")

    assert metrics_file(settings) == before


def metrics_file(settings: Settings) -> str:
    return (settings.state / "metrics" / "larder_monitor.prom").read_text()
