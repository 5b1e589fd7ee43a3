import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from larder.contracts.monitoring import Finding, Verdict
from larder.contracts.objective import Kpi, Label, Objective
from larder.contracts.settings import Settings
from larder.evaluation import task_of
from larder.findings import append_findings
from larder.ledger import Act, ledger_of
from monitoring.reports.monitoring_page import NAME, Releases, monitoring_page, write_monitoring_page
from monitoring.timeline.served import Mark, Served
from tests.monitoring.reports.test_page import EVIL, Parsed

START, DAY = datetime(2021, 12, 1, tzinfo=UTC), timedelta(days=1)
SERVED = [Served("3", START - 20 * DAY, START + 4 * DAY), Served("4", START + 4 * DAY, None)]
ACTS = [
    Mark(START + 4 * DAY, "promotion", "4", "All gates passed."),
    Mark(START + 6 * DAY, "rollback", "3", "Version 4 is worse on 900 outcomes."),
]


OBJECTIVE = Objective(
    question="Late?",
    label=Label("loans", "is_late", "late"),
    kpi=Kpi("reminders", "EUR", false_alarm=1.0, miss=4.0, description=""),
    split_at=START,
    test_until=START + DAY,
    pipeline=lambda numbers, strings: None,
    gates=(),
)


def test_the_verdict_of_the_latest_run_is_one_sentence():
    quiet = [found("drift", "pages", "psi", 0.02), found("nulls", "pages", "share", 0.0)]

    assert "All is well: 2 values judged or reported" in parsed(quiet).text
    assert "1 alarm: drift (pages)." in parsed([replace(quiet[0], verdict=Verdict.ALARM), quiet[1]]).text
    assert "No alarm, but 1 thing could not be told, among 2." in parsed([unknown(quiet[0]), quiet[1]]).text
    assert "Nothing could be told: Only 12 rows." in parsed([unknown(item) for item in quiet]).text


def test_an_alarm_of_yesterday_is_no_alarm_of_today():
    parser = parsed(
        [found("drift", "pages", "psi", 0.9, day=0, verdict=Verdict.ALARM), found("drift", "pages", "psi", 0.1)]
    )

    assert "None in the latest run." in parser.text
    assert len(shapes(parser, "rect", "cell alarm")) == 2  # in both maps it is still to be seen


def test_alarms_stand_with_value_limit_and_evidence():
    parser = parsed(
        [replace(found("quality", "live", "roc_auc", 0.61, limit=0.7), verdict=Verdict.ALARM, evidence="Seen.")]
    )

    assert {"0.610", "limit 0.700", "Seen."} <= {text for _, text in parser.texts}


def test_what_could_not_be_told_is_listed_once_for_each_reason():
    parser = parsed([unknown(found("drift", f"f{number}", "psi", None)) for number in range(120)])

    assert "f0, f1, f2 and 117 more" in parser.text
    assert [text for _, text in parser.texts].count("Only 12 rows.") == 1


def test_before_the_first_run_the_page_says_what_to_do():
    assert "larder monitor --html" in parsed([]).text


def test_every_text_is_escaped():
    evil = [
        replace(item, subject=EVIL + item.subject, metric=item.metric, evidence=EVIL, monitor=monitor)
        for item in several(days=3, features=4)
        for monitor in (item.monitor, EVIL)
    ]
    acts = [replace(mark, version=EVIL, reason=EVIL) for mark in ACTS]
    releases = Releases([replace(item, version=EVIL) for item in SERVED], acts)

    parser = Parsed(
        monitoring_page(evil, model=EVIL, question=EVIL, at=START, task=task_of(OBJECTIVE), releases=releases)
    )

    assert "script" not in {tag for tag, _ in parser.tags}
    assert parser.text.count("alert") > 20


def test_the_page_loads_nothing_and_runs_nothing():
    tags = parsed(several(days=3, features=4)).tags

    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object"}
    assert not {name for _, names in tags for name in names if name in ("src", "href") or name.startswith("on")}


@pytest.mark.parametrize(("days", "features"), [(1, 2), (2, 1), (300, 2), (30, 200)])
def test_every_plot_stays_inside_its_frame(days: int, features: int):
    html = page(several(days=days, features=features))

    plots = [
        ElementTree.fromstring(part.partition("</svg>")[0].join(["<svg", "</svg>"])) for part in html.split("<svg")[1:]
    ]
    for plot in plots:
        if "long" not in plot.get("class", ""):
            continue
        width, height = map(float, plot.attrib["viewBox"].split()[2:])
        for rectangle in plot.iter("rect"):
            x, y, wide, high = (float(rectangle.attrib[name]) for name in ("x", "y", "width", "height"))
            assert x >= 0 and x + wide <= width + 1 and y >= 0 and y + high <= height
        for dot in plot.iter("circle"):
            assert 0 <= float(dot.attrib["cx"]) <= width and 0 <= float(dot.attrib["cy"]) <= height
    assert sum("long" in plot.get("class", "") for plot in plots) >= 4


def test_a_year_of_many_features_stays_a_light_page():
    assert len(page(several(days=300, features=40))) < 1_000_000


def test_versions_are_bands_and_acts_are_lines_on_every_plot_of_quality():
    parser = parsed(several(days=10, features=1), releases=Releases(SERVED, ACTS))
    bands, rollbacks = shapes(parser, "rect", "band v1"), shapes(parser, "path", "mark rollback")

    assert len(bands) == len(rollbacks) >= 2
    assert float(bands[0]["x"] or 0) == pytest.approx(184 + 0.4 * (960 - 184 - 14))
    assert "Version 4 is worse on 900 outcomes." in parser.text


def test_a_window_without_value_breaks_the_line():
    series = several(days=6, features=1)
    broken = [
        unknown(item) if item.monitor == "quality" and item.window_end == START + 3 * DAY else item for item in series
    ]

    (whole, *_), (torn, *_) = (shapes(parsed(items), "path", "curve") for items in (series, broken))

    assert (whole["d"] or "").count("M") == 1 and (torn["d"] or "").count("M") == 2


def test_a_window_that_could_not_be_judged_is_so_for_every_feature():
    few = replace(unknown(found("drift", "books", "rows", None)), window_start=START, window_end=START + DAY)
    series = [item for item in several(days=3, features=2) if item.window_end != START + DAY]

    hatched = shapes(parsed([few, *series]), "rect", "cell unknown")

    assert len(hatched) == 3 and len({cell["x"] for cell in hatched}) == 1  # the overview's row and both features'
    assert "all features" in parsed([few]).text


def test_infinite_values_and_no_numbers_are_not_drawn():
    strange = [
        found(monitor, subject, metric, value, day=day)
        for day in range(2)
        for monitor, subject, metric in (("drift", "f", "psi"), ("quality", "live", "kpi"), ("service", "s", "p99"))
        for value in (float("nan"), float("inf"))
    ]

    geometry = [
        attributes.get(name) or ""
        for _, attributes in parsed(strange).tags
        for name in ("d", "x", "y", "cx", "cy", "width", "height")
    ]

    assert geometry and not [place for place in geometry if "nan" in place or "inf" in place]


def test_calibration_is_of_answered_rows_with_an_outcome_only():
    answers = pa.table(
        {
            "traffic": ["live", "live", "live", "shadow"],
            "probability": [0.2, 0.8, 0.8, 0.9],
            "outcome": pa.array([0, 1, None, 0], pa.int8()),
        }
    )

    dots = shapes(parsed(several(days=2, features=1), answers=answers.slice(0, 4)), "circle", "dot")

    assert "Whether probabilities hold" in parsed(several(days=2, features=1), answers=answers).text
    assert "Whether probabilities hold" not in parsed(several(days=2, features=1), answers=answers.slice(2)).text
    assert dots


def test_an_answer_without_a_probability_takes_no_part_in_the_plot_of_calibration():
    known = {"traffic": ["live"] * 3, "outcome": [0.0, 1.0, 1.0]}
    answers = pa.table(known | {"probability": pa.array([0.1, 0.9, None], pa.float64())})

    dots = shapes(parsed(several(days=2, features=1), answers=answers), "circle", "dot")

    assert dots == shapes(parsed(several(days=2, features=1), answers=answers.slice(0, 2)), "circle", "dot")


def test_the_written_page_has_the_versions_of_the_ledger(tmp_path: Path):
    settings = Settings(home=tmp_path, state=tmp_path / "state", lake=str(tmp_path / "lake"), raw=tmp_path)
    now = START + 5 * DAY
    append_findings(str(tmp_path / "lake/monitoring/books"), several(days=5, features=2))
    ledger = ledger_of(settings)
    ledger.append(Act.PROMOTION, "books/3", at=START + DAY, reason="The first.")
    ledger.append(Act.PROMOTION, "other/9", at=START + DAY, reason="Another model.")
    ledger.append(Act.PROMOTION, "books/4", at=START + 2 * DAY, reason="Better.")
    ledger.append(Act.ROLLBACK, "books/3", at=START + 3 * DAY, reason="Worse.")

    path = write_monitoring_page(settings, "books", OBJECTIVE, now)

    parser = Parsed(path.read_text())
    assert path == settings.state / NAME and sorted(item.name for item in settings.state.glob("monitoring*")) == [NAME]
    assert [len(shapes(parser, "rect", f"band v{number}")) for number in (0, 1, 2)] == [6, 3, 0]
    assert "Another model." not in parser.text


def found(
    monitor: str,
    subject: str,
    metric: str,
    value: float | None,
    *,
    limit: float | None = 0.25,
    day: int = 1,
    verdict: Verdict = Verdict.OK,
) -> Finding:
    end = START + (day + 1) * DAY
    return Finding(end, end - DAY, end, monitor, subject, metric, value, limit, verdict, f"{subject} {value}")


def unknown(item: Finding) -> Finding:
    return replace(item, value=None, verdict=Verdict.UNKNOWN, evidence="Only 12 rows.")


def several(*, days: int, features: int) -> list[Finding]:
    """Drift, quality and freshness, a run a day."""
    return [
        item
        for day in range(days)
        for item in (
            *(
                found("drift", f"feature_{number}", "psi", 0.01 * (number + day % 7), day=day)
                for number in range(features)
            ),
            found("drift", "prediction", "psi", 0.01 * (day % 5), day=day),
            found("quality", "live", "roc_auc", 0.7 + 0.01 * (day % 3), limit=0.69, day=day),
            found("quality", "kind=novel", "roc_auc", 0.6, limit=None, day=day),
            found("quality", "live", "kpi", 12.0 + day % 4, limit=13.0, day=day),
            found("freshness", "loans", "lag_seconds", 60.0, limit=3600.0, day=day),
        )
    ]


def page(findings: list[Finding], **others: object) -> str:
    task = task_of(OBJECTIVE)
    return monitoring_page(findings, model="books", question="Late?", at=START, task=task, **others)  # type: ignore[arg-type]


def parsed(findings: list[Finding], **others: object) -> Parsed:
    return Parsed(page(findings, **others))


def shapes(parser: Parsed, tag: str, classes: str) -> list[dict[str, str | None]]:
    return [attributes for name, attributes in parser.tags if name == tag and attributes.get("class") == classes]
