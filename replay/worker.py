"""The processes of a replay: one prepares the lake, then one per policy lives through the time.

Each runs with settings of its own, so that what a replay leaves is a project like any other: `larder models history`,
`larder ledger show` and the report of its monitors work on it.
"""

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
from feast import FeatureStore
from rich.console import Console

from larder.cli import failed
from larder.compute.materialize import apply_definitions
from larder.contracts.answer import Answer
from larder.contracts.errors import LarderError
from larder.contracts.ingestion import Ingestion
from larder.contracts.monitoring import Monitoring
from larder.contracts.objective import Objective
from larder.contracts.retraining import Retraining, require_fitting, require_outcomes_in_time
from larder.contracts.settings import Settings, load_settings
from larder.contracts.tables import Lake
from larder.contracts.use_case import declared, declared_or, use_case_name
from larder.ledger import ledger_of
from larder.online.planning import feature_plan
from larder.online.server.embedded import stop
from larder.versions.pins import table_versions
from larder.views import stored_views
from monitoring.reports.monitoring_report import listed
from replay.day import DayDone, Loop, replayed_day
from replay.history import all_requests, as_requests, require_requests
from replay.incidents import Incident, require_meant
from replay.lake import STEP, Stretch, prepared_lake, source_lake, stored_stretches
from replay.reading import StretchReading
from replay.result import Result, result
from training.retraining.policy import named_policy

RESULT = "result.json"


class Task(msgspec.Struct, frozen=True):
    """What a worker is told, as JSON in its first argument; a second may be `--debug`."""

    source: str
    """State folder whose lake holds everything, whenever it arrived."""
    prepared: str
    """State folder of the prepared lake."""
    start: datetime
    until: datetime
    incidents: tuple[Incident, ...] = ()
    policy: str = ""
    """Empty: prepare the lake."""

    @property
    def source_lake(self) -> str:
        return f"{self.source}/lake"


def main() -> None:
    task = msgspec.json.decode(sys.argv[1], type=Task)
    settings = load_settings()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # by way of what is done at the end
    try:
        if task.policy:
            (settings.state / RESULT).write_bytes(msgspec.json.encode(lived(task, settings)))
        else:
            prepare(task, settings)
    except LarderError as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except Exception as problem:
        sys.exit(failed(problem))
    finally:
        stop(settings)  # applying the definitions asked the online store, and so started it


def prepare(task: Task, settings: Settings) -> None:
    """Make the lake that all policies share; `settings` are those of the prepared state."""
    console = Console(stderr=True)
    ingestion = declared("pipelines", Ingestion, settings)
    objective = declared("training", Objective, settings)
    policy = declared_or("training", Retraining(), settings)
    require_fitting(policy, objective)
    require_outcomes_in_time(policy.release, objective)
    source = replace(settings, state=Path(task.source), lake=task.source_lake, replay_at=task.until)
    store = apply_definitions(settings)
    require_meant(task.incidents, ingestion, [view.name for view in stored_views(store)])
    console.print("Ingesting what there is, to know when it arrived", highlight=False)
    source_lake(source, ingestion)
    require_requests(Lake(task.source_lake), objective.label.table, task.start, task.until)
    prepared_lake(
        store,
        replace(settings, raw=settings.state / "raw"),
        ingestion,
        objective,
        Lake(task.source_lake),
        task.incidents,
        begin=task.start,
        until=task.until,
        report=lambda text: console.print(f"Preparing {text}", highlight=False),
    )


def lived(task: Task, settings: Settings) -> Result:
    """Live through [start, until) day by day under the task's policy; the state folder is made anew."""
    stretches = stored_stretches(Path(task.prepared))
    assert stretches is not None, "the lake is prepared first"
    _copy_lake(Path(task.prepared) / "lake", Path(settings.lake))
    loop = _loop(settings, apply_definitions(settings), task.policy)
    days: list[DayDone] = []
    console = Console(stderr=True)
    for stretch in stretches:
        with _reading(task, loop, stretch) as reading:
            known, asked = reading.known(), as_requests(reading.requests)
            for now in _days(task, stretch):
                requests = asked.between(now - STEP, now)
                days.append(replayed_day(loop, known, requests, now=now))
                console.print(_line(days[-1]), highlight=False)
    return result(loop, days, task.incidents, policy=task.policy, start=task.start, until=task.until)


@contextmanager
def _reading(task: Task, loop: Loop, stretch: Stretch) -> Iterator[StretchReading]:
    plan = feature_plan(loop.store, loop.model)
    requests = all_requests(Lake(task.source_lake), loop.objective.label.table, plan, until=stretch.end)
    with table_versions(stretch.versions):
        yield StretchReading(
            loop.settings, loop.objective, loop.store, loop.model, plan, stretch, requests, task.incidents,
            Path(task.prepared) / "served",
        )  # fmt: skip


def _days(task: Task, stretch: Stretch) -> Iterator[datetime]:
    """The instants at which the schedule runs: each day after the start, while the stretch lasts."""
    now = task.start + STEP
    while now <= min(stretch.end, task.until):
        if stretch.start is None or now > stretch.start:
            yield now
        now += STEP


def _loop(settings: Settings, store: FeatureStore, policy: str) -> Loop:
    objective = declared("training", Objective, settings)
    declared_policy = declared_or("training", Retraining(), settings)
    # Nobody was asked at the time: a replay promotes what only waits for persons.
    declared_policy = replace(declared_policy, release=replace(declared_policy.release, approvals=0))
    return Loop(
        settings=settings,
        model=use_case_name(settings),
        objective=objective,
        rules=declared("serving", Answer, settings),
        limits=declared_or("training", Monitoring(), settings),
        policy=named_policy(declared_policy, policy),
        ledger=ledger_of(settings, actor=f"replay of policy {policy}"),
        store=store,
    )


def _copy_lake(prepared: Path, lake: Path) -> None:
    """The prepared tables under the policy's own lake, as links where the disk allows it: files are never changed."""
    shutil.rmtree(lake, ignore_errors=True)
    shutil.copytree(prepared, lake, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _line(day: DayDone) -> str:
    return f"{day.now:%Y-%m-%d}  {day.answers:5,} answers  {listed(day.alarms)}"


if __name__ == "__main__":
    main()
