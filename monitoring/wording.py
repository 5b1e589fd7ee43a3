"""What the console and the page say in the same words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from larder.contracts.objective import CLASSIFICATION, TITLES
from monitoring.formats import number
from monitoring.run_report import FeatureCheck, Gate, RunReport

_REFERENCES = {"calendar": "calendar only", "champion": "champion until now"}


@dataclass(frozen=True)
class NextStep:
    purpose: str
    command: str


@dataclass(frozen=True)
class Difference:
    feature: str
    """`view.feature`, or the view alone when whole entities differ."""
    count: int
    causes: str
    """`12 behind, 3 missing`; empty when nobody counted the causes."""


def reference_name(report: RunReport, name: str) -> str:
    """What a reader calls a reference of the train result; names of one's own stay as they are."""
    if name == "constant":
        return "chance" if report.task.name == CLASSIFICATION else "always the mean"
    return _REFERENCES.get(name, name)


def headline(report: RunReport) -> str:
    """The outcome of the run in one plain sentence."""
    if "train" in report.missing:
        return f"No model has been trained yet: {report.missing['train']} makes the first one."
    version, ranking = report.model.get("version", "?"), report.task.ranking
    beside = [
        f"{reference_name(report, name)} {number(scores.get(ranking))}"
        for name, scores in sorted(report.references.items(), key=lambda item: -((item[1] or {}).get(ranking) or 0.0))
        if scores is not None
    ]
    references = f" ({', '.join(beside)})" if beside else ""
    rows = f" on {report.rows['test']:,} rows it never saw" if "test" in report.rows else ""
    does = "separates yes from no" if report.task.name == CLASSIFICATION else "tells large from small"
    quality = f"{does} with {TITLES[ranking]} {number(report.metrics.get(ranking))}{references}{rows}"
    if report.failed_gates:
        failed = ", ".join(gate.name for gate in report.failed_gates)
        return f"Version {version} {quality}, but it does not pass {failed} and must not serve."
    return f"The champion, version {version}, {quality}." if report.is_promoted else f"Version {version} {quality}."


def proof(report: RunReport) -> str:
    """What `larder verify` found, in one sentence."""
    check = report.verify
    if check is None:
        return f"Whether serving and training see the same values is not known yet: {report.missing['verify']} tells."
    if check.compared == 0 and not check.unread:
        return "Nothing was compared: the online store and history hold no values at this instant."
    if check.different:
        worst = ", ".join(item.feature for item in differences(report)[:3])
        return (
            f"Of {check.compared:,} online values, {check.different:,} differ from history"
            f"{f' (first of all {worst})' if worst else ''}: training and serving do not see the same world."
        )
    if check.unread:
        unread = f"{', '.join(check.unread)} could not be compared"
        return f"All {check.compared:,} online values that could be compared equal history; {unread}."
    return f"All {check.compared:,} online values equal history: training and serving see the same world."


def differences(report: RunReport) -> list[Difference]:
    """Every feature of which online values differ from history, and views with strays; the worst first."""
    views = report.verify.views if report.verify else ()
    found = [
        Difference(f"{view.view}.{check.feature}", check.different, _causes(check))
        for view in views
        for check in view.features
        if check.different
    ]
    found += [
        Difference(view.view, view.strays * len(view.features), f"{view.strays:,} entities that history does not know")
        for view in views
        if view.strays
    ]
    return sorted(found, key=lambda item: -item.count)


def next_steps(report: RunReport, *, address: str) -> list[NextStep]:
    """What to do after reading; `address` is the server's `http://host:port`."""
    steps = _unfinished_steps(report)
    if report.verify and report.verify.different:
        steps.append(NextStep("Bring the online store up to history, then verify again", "larder features"))
    if report.failed_gates:
        steps.append(NextStep("Change features or model, then train a new challenger", "larder train"))
    if "promote" not in report.missing:
        steps.append(NextStep("Start the server", "larder serve"))
    if report.answers:
        steps.append(NextStep("Ask it from another terminal", _curl(report.answers[0].request, address)))
    steps.append(NextStep("Browse entities, views and services in Feast's own pages", "feast -c feature_repo ui"))
    steps.append(NextStep("Put your own data in, by four files", "docs/use_your_own_data.md"))
    return steps


def condition(gate: Gate) -> str:
    """`0.765 >= 0.755`; a gate that compares with a champion has no limit where none can be compared with."""
    if gate.limit is None:
        return f"{number(gate.value)}, no limit: {gate.evidence}"
    return f"{number(gate.value)} {gate.direction} {number(gate.limit)}"


def _causes(check: FeatureCheck) -> str:
    causes = check.causes or ({"missing": check.missing} if check.missing else {})
    return ", ".join(f"{count:,} {cause}" for cause, count in causes.items() if count)


def _unfinished_steps(report: RunReport) -> list[NextStep]:
    if "run" in report.missing and len(report.missing) > 1:
        return [NextStep("Run every step and fill the whole report", report.missing["run"])]
    return [
        NextStep(f"Fill the part of the report that waits for {step!r}", command)
        for step, command in report.missing.items()
    ]


def _curl(request: Mapping[str, Any], address: str) -> str:
    body = json.dumps({"rows": [request]}, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -s {address}/predict -H 'Content-Type: application/json' -d '{body}'"
