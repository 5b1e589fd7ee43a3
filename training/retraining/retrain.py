"""Retraining by policy: the facts are gathered, the decision is recorded, and if it is yes a challenger is trained.

All of it stands in the ledger: a run that was cut off is found there and continued, not repeated.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from larder.contracts.bundle import champion_version, read_manifest
from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.contracts.monitoring import Monitoring
from larder.contracts.objective import Objective
from larder.contracts.question import other_question
from larder.contracts.retraining import Retraining, require_fitting, require_outcomes_in_time
from larder.contracts.settings import Settings
from larder.contracts.tables import Lake
from larder.findings import About, read_findings
from larder.ledger import Act, Entry, Ledger
from larder.lock import only_one
from larder.versions.pins import version_to_read
from training.data.label_counts import label_counts
from training.data.labels import LabelSelection, label_selection
from training.data.training_set import TrainingData
from training.gates import gate_results
from training.ledger_entries import DECISION, evaluation_entry, record_unrecorded, training_entry
from training.models.tracking import Version, load_challenger
from training.promotion import candidate, is_judged_for, other_costs
from training.release.begin import begin_shadow
from training.release.settle import require_intact
from training.release.state import ReleaseState, release_state
from training.retraining.policy import Decision, Facts, Training, decide
from training.training_run import LIMITS, TrainingRun, retrained

if TYPE_CHECKING:
    from feast import FeatureStore

LOOKBACK = timedelta(days=28)
"""Findings older than this count for no trigger."""

LOST = "lost"
"""In the outcome of a rejection: the version cannot be read, so its training counts as if it had not been."""

Rule = Callable[[Retraining, Facts], Decision]


@dataclass(frozen=True)
class Outcome:
    decision: Decision
    run: TrainingRun | None
    """The new challenger; None where none was trained. The caller begins its release, which also records the
    rejection of one whose gates failed.
    """

    @property
    def version(self) -> Version | None:
        return self.run.version if self.run else None


def retrain(
    settings: Settings,
    objective: Objective,
    policy: Retraining,
    *,
    model: str,
    now: datetime,
    ledger: Ledger,
    training_data: TrainingData,
    limits: Monitoring = LIMITS,
    rule: Rule = decide,
) -> Outcome:
    """Train and judge a challenger if `rule` says so; decision, training and gates are recorded.

    A challenger that an earlier call trained, and whose release never began, is taken up instead. The objective's own
    split is not used: the model is judged on the newest mature labels (`policy.judged_on` of them) and learns from
    those that were mature before.
    Raises BusyError while another retraining of the model runs, InvalidDataError when the ledger was edited.
    """
    with only_one(settings.state / f"retrain-{model}.lock", f"retraining of {model!r}"):
        ledger.require_writable()
        require_intact(ledger)
        known = facts(settings, objective, policy, model=model, now=now, ledger=ledger)
        unfinished = None if known.pending else _unfinished(ledger, model)
        if unfinished is not None and (
            resumed := _resumed(settings, judged_recently(objective, policy, now), unfinished, now=now, ledger=ledger)
        ):
            return resumed
        if unfinished is not None:
            known = facts(settings, objective, policy, model=model, now=now, ledger=ledger)
        decision = rule(policy, known)
        number = _record_decision(ledger, decision, model=model, now=now)
        if not decision.is_go:
            return Outcome(decision, None)
        record_unrecorded(ledger, settings, model, at=now)
        data = training_data(retraining_labels(objective, policy, now=now))
        run = retrained(
            settings,
            judged_recently(objective, policy, now),
            data,
            model=model,
            half_life=policy.window.half_life,
            limits=limits,
        )
        training_entry(ledger, run, data, at=now, reason="; ".join(decision.reasons), decision=number)
        _record_evaluation(ledger, run, now=now)
        return Outcome(decision, run)


def release_challenger(
    store: "FeatureStore",
    settings: Settings,
    objective: Objective,
    policy: Retraining,
    version: Version,
    *,
    now: datetime,
    ledger: Ledger,
    training_data: TrainingData,
) -> Entry:
    """Begin the release of what `retrain` trained; raises what `begin_shadow` raises, which records a failed gate."""
    judged = judged_recently(objective, policy, now)
    chosen = candidate(
        settings, judged, policy.release, model=version.model, number=version.number, training_data=training_data
    )
    return begin_shadow(store, settings, judged, policy.release, chosen, ledger=ledger)


def facts(
    settings: Settings, objective: Objective, policy: Retraining, *, model: str, now: datetime, ledger: Ledger
) -> Facts:
    """What the policy looks at, read from ledger, bundles, label table and findings; nothing is changed.

    Raises ConfigurationError for a policy that does not fit the objective, or whose releases end before outcomes come.
    """
    require_fitting(policy, objective)
    require_outcomes_in_time(policy.release, objective)
    trainings = _trainings(ledger, model)
    champion = champion_version(settings.bundles, model)
    learned = next((training for training in reversed(trainings) if training.version == champion), None)
    if learned is None and champion is not None:
        learned = _training_of_bundle(settings, model, champion)
        trainings = trainings or [learned]
    place = Lake(settings.lake).labels(objective.label.table)
    return Facts(
        now=now,
        champion=champion,
        champion_training=learned,
        trainings=tuple(trainings),
        labels=label_counts(
            place,
            retraining_labels(objective, policy, now=now),
            newest=learned.newest_label_at if learned else None,
            version=version_to_read(place, lake=settings.lake),
        ),
        pending=_under_way(release_state(ledger, model)),
        other_question=_other_question(settings, objective, model=model, champion=champion),
        findings=tuple(
            read_findings(
                Lake(settings.lake).monitoring(model),
                since=now - max(LOOKBACK, 2 * policy.refusal_lasts),
                until=now,
                about=_watched(policy),
            )
        ),
    )


def retraining_labels(objective: Objective, policy: Retraining, *, now: datetime) -> LabelSelection:
    """The labels that a retraining at `now` learns from and is judged on."""
    selection = label_selection(judged_recently(objective, policy, now), now=now)
    last = policy.window.last
    if last is None or selection.train_until is None:
        return selection
    return replace(selection, train_from=selection.train_until - last)


def judged_recently(objective: Objective, policy: Retraining, now: datetime) -> Objective:
    """With the split and the gates that the policy asks for, and only those references that a gate compares with."""
    gates = objective.gates if policy.gates is None else policy.gates
    matured = now - objective.label.matures_after
    needed = {gate.relative_to for gate in gates}
    return replace(
        objective,
        split_at=matured - policy.judged_on,
        test_until=matured,
        gates=gates,
        references={name: features for name, features in objective.references.items() if name in needed},
    )


def _watched(policy: Retraining) -> list[About]:
    """The findings that the policy looks at."""
    return [
        *(About(monitor) for monitor in policy.refused_by),
        *(About(trigger.monitor, trigger.metric, trigger.subject) for trigger in policy.triggers),
    ]


def _trainings(ledger: Ledger, model: str) -> list[Training]:
    entries = ledger.entries(subject=model, acts=(Act.TRAINING, Act.REJECTION))
    lost = {entry.subject for entry in entries if entry.outcome.get(LOST)}
    return [_training(entry) for entry in entries if entry.act is Act.TRAINING and entry.subject not in lost]


def _training(entry: Entry) -> Training:
    newest = entry.inputs.get("newest_label")
    return Training(
        version=entry.version,
        at=entry.at,
        rows=entry.inputs.get("rows"),
        newest_label_at=datetime.fromisoformat(newest) if newest else None,
    )


def _training_of_bundle(settings: Settings, model: str, version: str) -> Training:
    """Of a champion that was trained before there was a ledger only the bundle tells, and not much."""
    created_at = datetime.fromisoformat(read_manifest(settings.bundles / model / version).created_at)
    return Training(version=version, at=created_at, rows=None, newest_label_at=None)


def _other_question(settings: Settings, objective: Objective, *, model: str, champion: str | None) -> str:
    return "" if champion is None else other_question(read_manifest(settings.bundles / model / champion), objective)


def _under_way(state: ReleaseState) -> str:
    if state.shadow is not None:
        return f"version {state.shadow} answers unseen since {state.shadow_since:%Y-%m-%d %H:%M}"
    if state.watch_until is not None:
        return f"version {state.champion} is watched until {state.watch_until:%Y-%m-%d %H:%M}"
    return ""


def _unfinished(ledger: Ledger, model: str) -> Entry | None:
    """The retraining after which nothing was decided about any version of the model: it was cut off."""
    acts = (Act.TRAINING, Act.SHADOW, Act.PROMOTION, Act.REJECTION, Act.ROLLBACK)
    last = next(reversed(ledger.entries(subject=model, acts=acts)), None)
    return last if last is not None and last.act is Act.TRAINING and DECISION in last.inputs else None


def _resumed(
    settings: Settings, objective: Objective, unfinished: Entry, *, now: datetime, ledger: Ledger
) -> Outcome | None:
    """The unfinished challenger, with its gates on record; None when it cannot be read any more."""
    model, version = unfinished.subject.rpartition("/")[0], unfinished.version
    try:
        challenger = load_challenger(settings, model, version)
        if not is_judged_for(challenger, objective):
            raise InvalidDataError("it answers another question than the training file asks now")
        if costs := other_costs(challenger, objective):
            raise InvalidDataError(costs)
    except (InvalidDataError, MissingTableError) as problem:
        reason = f"cut off after training, and of no use: {problem}"
        ledger.append(Act.REJECTION, unfinished.subject, at=now, reason=reason, outcome={LOST: True})
        return None
    judged = challenger.description.evaluation
    run = TrainingRun(challenger.version, judged, gate_results(objective.gates, judged), {}, 0.0, 0.0)
    _record_evaluation(ledger, run, now=now)
    reason = f"version {version} was trained at {unfinished.at:%Y-%m-%d %H:%M} and cut off; it is taken up again"
    return Outcome(Decision(True, (reason, unfinished.reason), ()), run)


def _record_evaluation(ledger: Ledger, run: TrainingRun, *, now: datetime) -> None:
    """The gates, once."""
    if not ledger.entries(subject=f"{run.version.model}/{run.version.number}", acts=(Act.EVALUATION,)):
        evaluation_entry(ledger, run, at=now, reason="newly trained")


def _record_decision(ledger: Ledger, decision: Decision, *, model: str, now: datetime) -> int:
    """Number of the entry. A no for the same reasons as the last one is recorded once a day."""
    outcome = {"train": decision.is_go, "due": decision.is_due, "refusals": list(decision.refusals)}
    reason = "; ".join(decision.reasons)
    last = next(reversed(ledger.entries(subject=model, acts=(Act.DECISION,))), None)
    if last is not None and not decision.is_go and now - last.at < timedelta(days=1):
        before = (_in_words(last.reason, last.outcome.get("refusals", [])), last.outcome.get("train"))
        if before == (_in_words(reason, decision.refusals), False):
            return last.number
    return ledger.append(Act.DECISION, model, at=now, reason=reason, inputs=decision.evidence, outcome=outcome).number


def _in_words(reason: str, refusals: "list[str] | tuple[str, ...]") -> str:
    """Without the numbers, which change by the hour."""
    return re.sub(r"\d[\d,.:]*", "#", "; ".join([reason, *refusals]))
