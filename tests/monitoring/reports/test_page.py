from html.parser import HTMLParser
from typing import Any

import pytest

from monitoring.reports.page import page
from monitoring.reports.run_report import STEPS, RunReport, run_report

ADDRESS = "http://127.0.0.1:8600"
EVIL = "<script>alert('x')</script>\"&"
VOID = {"meta", "wbr", "br", "link", "img", "input"}


class Parsed(HTMLParser):
    """Collects visible text by the classes around it, and refuses tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open and self.open[-1][0] != "style":
            self.texts.append((self.open[-1][1], " ".join(data.split())))

    @property
    def text(self) -> str:
        return " ".join(text for _, text in self.texts)

    def with_class(self, name: str) -> list[str]:
        return [text for classes, text in self.texts if name in classes.split()]


def test_the_page_shows_the_numbers_of_every_step(results: dict[str, Any]):
    text = parsed(report(results)).text

    for shown in ("Will the book come back late?", "0.765", "0.634", "0.432 <= 0.510", "1,200", "1 min 35 s", "4.7 GB"):
        assert shown in text
    for shown in ("83%", "reader_ late_ share_ 90d", "0.625", "4.1e-07", "loans@4", "cc33", "0.212"):
        assert shown in text


def test_answers_about_instants_that_had_passed_are_said_to_be(results: dict[str, Any]):
    assert "had passed" not in parsed(report(results)).text

    results["ask"]["is_hindsight"] = True

    assert "had passed by then: features may know what came of it" in parsed(report(results)).text


def test_the_page_loads_nothing_and_runs_nothing(results: dict[str, Any]):
    tags = parsed(report(results)).tags

    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object"}
    assert not {
        name for _, attributes in tags for name in attributes if name in ("src", "href") or name.startswith("on")
    }


def test_every_value_is_escaped(results: dict[str, Any]):
    evil = evil_everywhere(results)
    # Only kinds that steps write as numbers must stay numbers.
    parser = parsed(report(evil))

    assert "script" not in {tag for tag, _ in parser.tags}
    assert parser.text.count("alert") > 15


def test_the_plots_are_named_for_those_who_do_not_see_them(results: dict[str, Any]):
    plots = [attributes for tag, attributes in parsed(report(results)).tags if tag == "svg" and "role" in attributes]

    assert [plot["aria-label"].split(":")[0] for plot in plots] == ["ROC curve, area 0.765", "Calibration"]


def test_a_failed_gate_is_shown_as_failed(results: dict[str, Any]):
    results["train"]["gates"][0].update(value=0.74, passed=False)

    parser = parsed(report(results))

    assert parser.with_class("bad") == ["✗ failed", "1 feature missing or stale"]
    assert "0.740 >= 0.755" in parser.text
    assert "1 of 2" in parser.text


def test_differences_are_red_with_view_and_feature_named(results: dict[str, Any]):
    results["verify"]["different"] = 14
    results["verify"]["views"][0]["features"][0].update(different=14, causes={"behind": 14})

    parser = parsed(report(results))

    assert "✗ reader_returns.reader_late_share_90d: 14 differ (14 behind)" in parser.with_class("alarm-text")
    assert "✗ 14" in parser.with_class("bad")


@pytest.mark.parametrize("step", STEPS)
def test_a_missing_step_leaves_a_page_that_names_its_command(results: dict[str, Any], step: str):
    del results[step]

    assert STEPS[step] in parsed(report(results)).text


def test_a_page_of_nothing_is_still_a_page():
    assert "No model has been trained yet" in parsed(report({})).text


def test_a_long_curve_is_thinned_but_keeps_its_ends(results: dict[str, Any]):
    shares = [i / 50_000 for i in range(50_001)]
    results["train"]["curves"]["roc"] = {"false_positive_rate": shares, "true_positive_rate": shares}

    html = page(report(results), address=ADDRESS)

    assert len(html) < 60_000


def report(results: dict[str, Any]) -> RunReport:
    return run_report(results, at="2021-12-28T17:00:00+00:00")


def parsed(content: RunReport) -> Parsed:
    return Parsed(page(content, address=ADDRESS))


def evil_everywhere(value: Any) -> Any:
    """The same results with every text, also as a name of a feature or a step, turned against the page."""
    if isinstance(value, dict):
        structural = {"request", "features", "references", "seconds", "tables", "causes", "peak_memory_gb"}
        return {
            key: {EVIL + name: evil_everywhere(item) for name, item in inner.items()}
            if key in structural and isinstance(inner, dict)
            else evil_everywhere(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [evil_everywhere(item) for item in value]
    return EVIL + value if isinstance(value, str) else value
