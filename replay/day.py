"""One day of a replay: answers, then the steps that a schedule would run, at one instant of the clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import pyarrow as pa
from feast import FeatureStore

from larder.contracts.answer import Answer
from larder.contracts.bundle import champion_version, shadow_version
from larder.contracts.errors import GateError
from larder.contracts.monitoring import Finding, Monitoring, Verdict
from larder.contracts.objective import Objective
from larder.contracts.plan import FeaturePlan
from larder.contracts.retraining import Retraining
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.ledger import Ledger
from larder.online.reading.compiled import FeatureRows
from monitoring.monitors.freshness import ViewState
from monitoring.run import record, run_monitors
from replay.served import Requests
from serving.log.prediction_log import LoggedAnswer, delta_writer
from serving.models.answers import live_answer, reads_alike, shadow_answer
from serving.models.model import Model, load_model
from training.data.training_set import TrainingData
from training.release.advance import advance
from training.retraining.retrain import release_challenger, retrain

Served = Callable[[FeaturePlan, Requests], FeatureRows]
"""Features of requests as serving would have read them by a plan."""


@dataclass(frozen=True)
class Loop:
    """What does not change from day to day."""

    settings: Settings
    """Of the replay; its clock is set anew for each day."""
    model: str
    objective: Objective
    rules: Answer
    limits: Monitoring
    policy: Retraining
    ledger: Ledger
    store: FeatureStore


@dataclass(frozen=True)
class Known:
    """What a day can read: features as served, as retrieved for training, and the state of the views."""

    served: Served
    recompute: Callable[[pa.Table], pa.Table]
    training_data: TrainingData
    views: Callable[[datetime], Sequence[ViewState]]


@dataclass(frozen=True)
class DayDone:
    now: datetime
    answers: int
    findings: list[Finding]

    @property
    def alarms(self) -> list[str]:
        """`monitor of subject`, each once."""
        alarms = (item for item in self.findings if item.verdict is Verdict.ALARM)
        return sorted({f"{item.monitor} of {item.subject}" for item in alarms})


def replayed_day(loop: Loop, known: Known, requests: Requests, *, now: datetime) -> DayDone:
    """Answer `requests`, then monitor, advance a release, and retrain if the policy says so.

    A challenger that fails its gates is on record, and the day goes on.
    """
    loop = replace(loop, settings=replace(loop.settings, replay_at=now))
    answers = _answered(loop, known, requests)
    findings: list[Finding] = []
    if champion_version(loop.settings.bundles, loop.model) is not None:
        findings = _monitored(loop, known, now)
        advance(loop.settings, loop.objective, loop.policy.release, model=loop.model, ledger=loop.ledger, now=now)
    _retrained(loop, known, now)
    return DayDone(now, answers, findings)


def _answered(loop: Loop, known: Known, requests: Requests) -> int:
    """Log the champion's answers, one per instant, and those of the version that listens; nobody answers before."""
    champion = _model(loop, champion_version(loop.settings.bundles, loop.model))
    if champion is None or not requests.rows:
        return 0
    listening = _model(loop, shadow_version(loop.settings.bundles, loop.model))
    features = known.served(champion.plan, requests)
    live = _answers(champion, loop.rules, requests, features)
    write = delta_writer(Lake(loop.settings.lake).predictions(loop.model))
    write(live)
    if listening is not None:
        alike = reads_alike(listening.plan, champion.plan)
        heard = features if alike else known.served(listening.plan, requests)
        write(
            [
                shadow_answer(listening, loop.rules, answer, part)
                for answer, part in zip(live, _parts(requests, heard), strict=True)
            ]
        )
    return len(requests.rows)


def _answers(model: Model, rules: Answer, requests: Requests, features: FeatureRows) -> list[LoggedAnswer]:
    parts = _parts(requests, features)
    answers, start = [], 0
    for part in parts:
        end = start + len(part.values)
        at = requests.at[start]
        answers.append(live_answer(model, rules, requests.rows[start:end], part, at=at, id=f"{at:%Y%m%dT%H%M%S}"))
        start = end
    return answers


def _parts(requests: Requests, features: FeatureRows) -> list[FeatureRows]:
    """The rows of each instant: those who ask at once ask together."""
    parts, start = [], 0
    for _, same in groupby(requests.at):
        end = start + sum(1 for _ in same)
        parts.append(FeatureRows(features.values[start:end], features.statuses[start:end]))
        start = end
    return parts


def _monitored(loop: Loop, known: Known, now: datetime) -> list[Finding]:
    findings = run_monitors(
        loop.settings,
        loop.objective,
        loop.limits,
        model=loop.model,
        now=now,
        views=lambda: known.views(now),
        recompute=known.recompute,
    )
    record(loop.settings, loop.model, findings, loop.ledger)
    return findings


def _retrained(loop: Loop, known: Known, now: datetime) -> None:
    try:
        done = retrain(
            loop.settings,
            loop.objective,
            loop.policy,
            model=loop.model,
            now=now,
            ledger=loop.ledger,
            training_data=known.training_data,
            limits=loop.limits,
        )
        if done.version is not None:
            release_challenger(
                loop.store,
                loop.settings,
                loop.objective,
                loop.policy,
                done.version,
                now=now,
                ledger=loop.ledger,
                training_data=known.training_data,
            )
    except GateError:
        return  # the rejection is on record in the ledger


def _model(loop: Loop, version: str | None) -> Model | None:
    return (
        None if version is None else _loaded(loop.settings.bundles / loop.model / version, loop.settings.trusted_keys)
    )


@lru_cache(maxsize=4)
def _loaded(bundle: Path, trusted_keys: Path | None) -> Model:
    """A version's folder is written once and never changed."""
    return load_model(bundle, trusted_keys=trusted_keys)
