import io
from typing import Any

from rich.console import Console

from monitoring.reports.console import print_report
from monitoring.reports.run_report import run_report


def test_the_terminal_shows_quality_gates_rows_proof_times_and_next_steps(results: dict[str, Any]):
    text = printed(results)

    for shown in ("ROC-AUC 0.765 (calendar only 0.634, chance 0.500)", "0.432 <= 0.510", "✓ passed", "83%", "0.212"):
        assert shown in text
    for shown in ("reader_late_share_90d missing", "All 1,200 online values", "1 min 35 s", "larder serve", "feast -c"):
        assert shown in text


def test_answers_about_instants_that_had_passed_are_said_to_be(results: dict[str, Any]):
    assert "had passed" not in printed(results)

    results["ask"]["is_hindsight"] = True

    assert "features may know what came of it" in printed(results)


def test_failed_gates_and_differences_stand_out(results: dict[str, Any]):
    results["train"]["gates"][0].update(value=0.74, passed=False)
    results["verify"]["different"] = 14
    results["verify"]["views"][0]["features"][0].update(different=14, causes={"behind": 14})

    text = printed(results, color=True)

    assert "\x1b[1;31m✗ failed" in text
    assert "\x1b[31m✗ reader_returns.reader_late_share_90d: 14 differ (14 behind)" in text


def test_missing_parts_name_the_command_that_fills_them():
    text = printed({})

    for command in ("larder train", "larder ask", "larder verify", "larder run"):
        assert f"{command} fills it" in text


def test_markup_in_a_value_is_printed_as_it_is(results: dict[str, Any]):
    results["train"]["question"] = "[red]Late?[/red]"
    results["train"]["gates"][0]["name"] = "[bold]gate"

    text = printed(results)

    assert "[red]Late?[/red]" in text
    assert "[bold]gate" in text


def test_commands_are_not_broken_over_lines(results: dict[str, Any]):
    lines = printed(results, width=60).splitlines()

    assert any("curl -s http://127.0.0.1:8600/predict" in line and line.endswith("]}'") for line in lines)


def printed(results: dict[str, Any], *, color: bool = False, width: int = 130) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, color_system="standard" if color else None)
    report = run_report(results, at="2021-12-28T17:00:00+00:00")
    print_report(report, console, address="http://127.0.0.1:8600", page="file:///tmp/report.html")
    return out.getvalue()
