import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from larder.contracts.reports import write_report
from larder.contracts.settings import Settings, load_settings
from monitoring.cli import report


def test_the_command_writes_json_and_page_and_prints_the_same(tmp_path: Path, results: dict[str, Any]):
    settings = settings_in(tmp_path)
    for step, content in results.items():
        write_report(settings, step, content)

    result = reported(settings)

    content = json.loads((settings.state / "run_report.json").read_text())
    assert content["at"] == "2021-12-28T17:00:00+00:00"
    assert (content["roc_auc"], content["verify"]["different"], content["missing"]) == (0.7654, 0, {})
    assert "Will the book come back late?" in (settings.state / "report.html").read_text()
    assert "ROC-AUC 0.765" in result.output
    assert "my%20dir" in result.output


def test_the_command_before_any_step_tells_what_to_run(tmp_path: Path):
    settings = settings_in(tmp_path)

    result = reported(settings)

    assert "larder run" in result.output
    assert json.loads((settings.state / "run_report.json").read_text())["missing"]["train"] == "larder train"
    assert sorted(path.name for path in settings.state.iterdir()) == ["report.html", "run_report.json"]


def settings_in(folder: Path) -> Settings:
    state = folder / "my dir" / "state"
    return load_settings(
        {"LARDER_HOME": str(folder), "LARDER_STATE": str(state), "LARDER_CLOCK": "2021-12-28T17:00:00Z"}
    )


def reported(settings: Settings) -> Result:
    return CliRunner().invoke(report, obj=settings, catch_exceptions=False)
