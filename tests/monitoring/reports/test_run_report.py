from typing import Any

import msgspec
import pytest

from larder.contracts.errors import InvalidDataError
from monitoring.reports.run_report import STEPS, run_report

AT = "2021-12-28T17:00:00+00:00"


def test_the_numbers_of_all_steps_land_in_one_json(results: dict[str, Any]):
    content = msgspec.to_builtins(run_report(results, at=AT))

    assert (content["use_case"], content["at"], content["missing"]) == ("late_books", AT, {})
    assert (content["roc_auc"], content["log_loss"]) == (0.7654, 0.4321)
    assert content["references"]["calendar"] == {"roc_auc": 0.6342, "log_loss": 0.5099}
    assert content["gates"][0] == results["train"]["gates"][0] | {"evidence": ""}
    assert (content["verify"]["compared"], content["verify"]["different"]) == (1200, 0)
    assert content["seconds"] == results["run"]["seconds"]
    assert content["model"] == {
        "name": "late_books", "version": "3", "run_id": "9f2c11", "champion": "3", "runtime": "onnx",
    }  # fmt: skip
    assert content["parity"] == {"rows": 2000, "max_difference": 4.1e-7}
    assert content["answers"][0]["outcome"] is True


def test_steps_that_have_not_run_are_named_with_their_command(results: dict[str, Any]):
    report = run_report({"train": results["train"], "verify": None}, at=AT)

    assert report.missing == {step: STEPS[step] for step in ("promote", "ask", "verify", "run")}
    assert (report.roc_auc, report.verify, report.answers, report.seconds) == (0.7654, None, (), {})


def test_a_report_of_nothing_is_still_a_report():
    report = run_report({}, at=AT)

    assert report.missing == STEPS
    assert report.roc_auc is None
    assert not report.is_promoted


def test_a_model_trained_after_the_promotion_is_not_called_champion(results: dict[str, Any]):
    results["train"]["model"]["version"] = "4"

    report = run_report(results, at=AT)

    assert (report.model["version"], report.model["champion"], report.is_promoted) == ("4", "3", False)


def test_an_undefined_metric_stays_unknown(results: dict[str, Any]):
    results["train"]["metrics"]["roc_auc"] = None
    results["train"]["slices"][0]["ranking"] = None

    report = run_report(results, at=AT)

    assert report.roc_auc is None
    assert report.slices[0].ranking is None


def test_a_damaged_result_is_refused_with_its_field_named(results: dict[str, Any]):
    results["verify"]["compared"] = "many"

    with pytest.raises(InvalidDataError, match=r"\$\.verify\.compared.*larder run"):
        run_report(results, at=AT)
