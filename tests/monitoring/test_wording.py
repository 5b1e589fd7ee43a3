from typing import Any

from monitoring import wording
from monitoring.run_report import Gate, run_report

AT = "2021-12-28T17:00:00+00:00"
ADDRESS = "http://127.0.0.1:8600"


def test_the_headline_sets_the_champion_beside_its_references(results: dict[str, Any]):
    assert wording.headline(run_report(results, at=AT)) == (
        "The champion, version 3, separates yes from no with ROC-AUC 0.765 (calendar only 0.634, chance 0.500) "
        "on 8,000 rows it never saw."
    )


def test_the_headline_says_when_a_gate_failed(results: dict[str, Any]):
    results["train"]["gates"][1]["passed"] = False

    assert "does not pass log_loss_against_calendar" in wording.headline(run_report(results, at=AT))


def test_the_headline_without_a_model_names_the_command():
    assert "larder train" in wording.headline(run_report({}, at=AT))


def test_the_proof_names_the_worst_features_and_their_causes(results: dict[str, Any]):
    with_differences(results)
    report = run_report(results, at=AT)

    assert "14 differ from history" in wording.proof(report)
    assert [(item.feature, item.count, item.causes) for item in wording.differences(report)] == [
        ("branch_returns.branch_returns_count_7d", 11, ""),
        ("reader_returns.reader_late_share_90d", 3, "2 behind, 1 missing"),
    ]


def test_a_view_that_could_not_be_compared_is_never_said_to_be_equal(results: dict[str, Any]):
    results["verify"]["views"][1]["error"] = "its table is damaged"

    said = wording.proof(run_report(results, at=AT))

    assert "that could be compared equal history" in said and "branch_returns could not be compared" in said


def test_a_model_of_numbers_is_set_beside_the_mean(results: dict[str, Any]):
    results["train"] |= {
        "task": {"name": "regression", "ranking": "r2", "loss": "mae", "no_skill": 0.0},
        "metrics": {"r2": 0.61, "mae": 4.2},
        "references": {"constant": {"r2": -0.01, "mae": 7.0}, "champion": None},
    }

    said = wording.headline(run_report(results, at=AT))

    assert "tells large from small with R² 0.610 (always the mean -0.010)" in said


def test_entities_that_history_does_not_know_are_differences_too(results: dict[str, Any]):
    results["verify"].update(compared=1206, different=6)
    results["verify"]["views"][0]["strays"] = 3

    report = run_report(results, at=AT)

    assert report.verify is not None
    assert [view.different for view in report.verify.views] == [6, 0]
    assert wording.differences(report) == [
        wording.Difference("reader_returns", 6, "3 entities that history does not know")
    ]


def test_nothing_compared_is_not_called_equal(results: dict[str, Any]):
    results["verify"].update(compared=0, views=[])

    assert "Nothing was compared" in wording.proof(run_report(results, at=AT))


def test_the_next_steps_begin_with_what_is_unfinished_or_broken(results: dict[str, Any]):
    with_differences(results)
    del results["ask"]

    commands = [step.command for step in wording.next_steps(run_report(results, at=AT), address=ADDRESS)]

    assert commands[:3] == ["larder ask", "larder features", "larder serve"]


def test_a_gate_against_a_champion_that_is_not_there_has_no_limit():
    first = Gate("roc_auc against champion", 0.76543, None, ">=", True, "no version serves yet")
    assert wording.condition(first) == "0.765, no limit: no version serves yet"


def test_a_report_of_little_sends_its_reader_to_the_whole_run(results: dict[str, Any]):
    steps = wording.next_steps(run_report({"train": results["train"]}, at=AT), address=ADDRESS)

    assert steps[0].command == "larder run"
    assert "larder serve" not in [step.command for step in steps]


def test_the_curl_example_asks_the_server_for_a_real_row(results: dict[str, Any]):
    results["ask"]["answers"][0]["request"] = {"reader": "O'Hara"}

    commands = [step.command for step in wording.next_steps(run_report(results, at=AT), address=ADDRESS)]

    body = """'{"rows": [{"reader": "O'\\''Hara"}]}'"""
    assert f"curl -s http://127.0.0.1:8600/predict -H 'Content-Type: application/json' -d {body}" in commands


def with_differences(results: dict[str, Any]) -> None:
    views = results["verify"]["views"]
    results["verify"]["different"] = 14
    views[0]["features"][0].update(equal=387, different=3, missing=1, causes={"behind": 2, "missing": 1})
    views[1]["features"][0].update(equal=389, different=11)
