"""One run of all monitors, and its record in the monitoring table and the ledger."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.errors import first_line
from larder.contracts.monitoring import Baseline, Finding, Monitoring, Verdict
from larder.contracts.objective import CLASSIFICATION, Objective
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.evaluation import Floats, Task, task_of
from larder.findings import append_findings
from larder.ledger import Act, Entry, Ledger
from larder.predictions import LIVE
from monitoring.logged import Logged
from monitoring.monitors.answers import Answers
from monitoring.monitors.data import absent, categories, nulls, out_of_range
from monitoring.monitors.drift import drift
from monitoring.monitors.expected import expected_against_actual, expected_quality
from monitoring.monitors.freshness import ViewState, freshness
from monitoring.monitors.labels import labels
from monitoring.monitors.quality import Judge, quality
from monitoring.monitors.skew import Recompute, skew
from monitoring.monitors.volume import volume
from monitoring.monitors.window import Window
from monitoring.served_models import baseline_or_none, costs_of

MOST_ALARMS = 50
"""Alarms that the ledger's entry words; the monitoring table holds them all."""

Monitor = Callable[[], Iterable[Finding]]
InputMonitor = Callable[[Window, Answers, Baseline, Monitoring], list[Finding]]


def run_monitors(
    settings: Settings,
    objective: Objective,
    limits: Monitoring,
    *,
    model: str,
    now: datetime,
    views: Callable[[], Sequence[ViewState]] | None,
    recompute: Recompute | None,
) -> list[Finding]:
    """What all monitors find at `now`; nothing is written.

    Without `views` the monitor of freshness is left out, without `recompute` that of skew. A monitor that fails
    cannot tell, and says why; the others run all the same.
    """
    logged = Logged(settings, objective, limits, model, now)
    window, matured = logged.window, logged.matured_window
    task = task_of(objective)
    judge = Judge(
        matured,
        objective,
        limits,
        lambda version: baseline_or_none(logged.bundle(version)),
        lambda version: costs_of(logged.bundle(version)),
    )
    on_inputs: dict[str, InputMonitor] = {
        "nulls": nulls,
        "absent": absent,
        "out_of_range": out_of_range,
        "categories": categories,
        "drift": drift,
    }
    monitors: list[tuple[str, Window, Monitor]] = [
        ("volume", window, lambda: volume(window, model, logged.live.num_rows, logged.earlier_counts, limits)),
        *((name, window, partial(_on_inputs, name, logged, monitor)) for name, monitor in on_inputs.items()),
        ("labels", matured, lambda: labels(matured, logged.matured, logged.pending, model, limits)),
        ("quality", matured, lambda: _quality(logged, judge)),
    ]
    if task.name == CLASSIFICATION:  # a predicted number does not say how sure it is
        monitors += [
            (
                "expected_quality",
                window,
                lambda: expected_quality(window, _predicted(logged, task), _task(judge, logged.live)),
            ),
            ("expected_quality", matured, lambda: _expected_against_actual(judge, logged.matured.rows)),
        ]
    if views is not None:
        monitors.append(("freshness", window, lambda: freshness(window, views(), logged.earlier_ages, limits)))
    if recompute is not None:
        monitors.append(("skew", window, lambda: _skew(logged, recompute)))
    return [finding for name, of, monitor in monitors for finding in isolated(of, name, model, monitor)]


def record(settings: Settings, model: str, findings: Sequence[Finding], ledger: Ledger) -> Entry | None:
    """Append the findings of one run to the monitoring table, then its verdicts to the ledger; None without any."""
    if not findings:
        return None
    append_findings(Lake(settings.lake).monitoring(model), findings)
    alarms = [item for item in findings if item.verdict is Verdict.ALARM]
    unknown = sorted({item.monitor for item in findings if item.verdict is Verdict.UNKNOWN})
    return ledger.append(
        Act.MONITORING,
        model,
        at=findings[0].run_at,
        reason=verdicts_in_words(findings),
        inputs={"window_start": findings[0].window_start, "window_end": findings[0].window_end},
        outcome={"alarms": [in_words(item) for item in alarms[:MOST_ALARMS]], "cannot_tell": unknown},
    )


def verdicts_in_words(findings: Sequence[Finding]) -> str:
    """`2 alarms, 1 cannot tell, 97 ok`."""
    counts = Counter(item.verdict for item in findings)
    alarms = counts[Verdict.ALARM]
    words = [f"{alarms} alarm{'' if alarms == 1 else 's'}"]
    words += [f"{counts[Verdict.UNKNOWN]} cannot tell"] if counts[Verdict.UNKNOWN] else []
    return ", ".join([*words, f"{counts[Verdict.OK]} ok"])


def in_words(item: Finding) -> str:
    return f"{item.monitor} of {item.subject}: {item.evidence}"


def isolated(window: Window, name: str, subject: str, monitor: Monitor) -> list[Finding]:
    """What the monitor finds; when it fails, that it cannot tell, and why."""
    try:
        return list(monitor())
    except Exception as problem:  # whatever it is, the other monitors must not go blind with this one
        return [window.unknown(name, subject, "run", f"The monitor failed: {first_line(problem)}")]


def _quality(logged: Logged, judge: Judge) -> list[Finding]:
    if logged.other_question and not logged.matured.rows.num_rows:
        evidence = f"Nothing can be judged: {logged.other_question}. Train and promote one that answers it."
        return [logged.matured_window.unknown("quality", logged.model, "question", evidence)]
    return quality(judge, logged.matured.rows)


def _expected_against_actual(judge: Judge, rows: pa.Table) -> list[Finding]:
    live = rows.filter(pc.equal(rows["traffic"], LIVE))
    return expected_against_actual(judge.window, live, _task(judge, live))


def _task(judge: Judge, live: pa.Table) -> Task:
    """By the costs of the version that answered last."""
    return judge.of(live["version"][-1].as_py()).task if live.num_rows else judge.task


def _predicted(logged: Logged, task: Task) -> Floats:
    live = logged.live  # without its features, which would be copied
    names = [name for name in ("version", task.predicted) if name in live.column_names]
    found: Floats = logged.to_the_point(live.select(names))[task.predicted].to_numpy()
    return found


def _on_inputs(name: str, logged: Logged, monitor: InputMonitor) -> list[Finding]:
    answers = logged.answers
    if answers is None:
        return [_nothing(logged, name)]
    if answers.model.baseline is None:
        evidence = f"The bundle of version {answers.model.version} has no baseline; train and promote a newer model."
        return [logged.window.unknown(name, logged.model, "baseline", evidence)]
    return monitor(logged.window, answers, answers.model.baseline, logged.limits)


def _skew(logged: Logged, recompute: Recompute) -> list[Finding]:
    answers = logged.answers
    if answers is None:
        return [_nothing(logged, "skew")]
    return skew(logged.window, answers, recompute, logged.runs, logged.limits)


def _nothing(logged: Logged, name: str) -> Finding:
    return logged.window.unknown(name, logged.model, "rows", "No live answer was logged in the window.")
