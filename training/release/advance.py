"""Move a release on as far as known outcomes allow: shadow to promotion or rejection, watch to its end or rollback."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from larder.contracts.bundle import read_manifest
from larder.contracts.objective import Objective
from larder.contracts.question import other_question
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings
from larder.ledger import Act, Ledger
from training.release.acts import Releases, releasing
from training.release.approval import unapproved
from training.release.comparison import Comparison, comparison, paired_answers
from training.release.decision import after_promotion, after_shadow
from training.release.state import Shadow, Watch
from training.retraining.policy import in_days


@dataclass(frozen=True)
class Step:
    """What one call of `advance` did."""

    act: Act | None
    """None where there was nothing to decide yet."""
    version: str | None
    """The version that it was about; of a rollback the one taken back."""
    reason: str
    found: Comparison | None
    """What it was decided by; None where no release is under way."""


def advance(
    settings: Settings, objective: Objective, policy: Release, *, model: str, ledger: Ledger, now: datetime
) -> Step:
    """Judge the release under way at `now` and act on the judgement; calling it again changes nothing.

    Raises InvalidDataError when a bundle is damaged or the ledger was edited, BusyError while another process acts.
    """
    with releasing(settings, model, ledger) as releases:
        if reason := _unjudgeable(releases, objective):
            return Step(None, releases.state.champion, reason, None)
        match releases.state.under_way:
            case Shadow() as shadow:
                return _in_shadow(releases, objective, policy, shadow, now)
            case Watch() as watch:
                return _in_watch(releases, objective, policy, watch, now)
            case None:
                return Step(None, releases.state.champion, "no release is under way", None)


def _unjudgeable(releases: Releases, objective: Objective) -> str:
    """Why nobody can tell the two versions of the release under way apart; empty where one can, or there is none."""
    state, folder = releases.state, releases.settings.bundles / releases.model
    compared = (state.champion, state.listener) if state.pending else ()
    for version in filter(None, compared):
        if said := other_question(read_manifest(folder / version), objective):
            return (
                f"the release under way cannot be judged: {said}. It waits; end it with `larder promote` of a version "
                "that answers what is asked, or with `larder models rollback`, or ask the former question again"
            )
    return ""


def _in_shadow(releases: Releases, objective: Objective, policy: Release, shadow: Shadow, now: datetime) -> Step:
    version = shadow.challenger
    found = _compared(
        releases, objective, policy, version, shadow.champion, since=shadow.since, rows=policy.shadow_rows, now=now
    )
    decision = after_shadow(shadow, policy, found, now)
    if decision.act is Act.PROMOTION:
        if missing := unapproved(releases.ledger, policy, model=releases.model, version=version):
            return _unapproved(releases, policy, shadow, found, f"{missing} It is {decision.reason}", now)
        inputs = _began_with(releases, version) | _evidence(found)
        releases.promote(version, at=now, reason=decision.reason, inputs=inputs, watch_until=now + policy.watch)
    elif decision.act is not None:
        releases.record(decision.act, version, at=now, reason=decision.reason, inputs=_evidence(found))
    return Step(decision.act, version, decision.reason, found)


def _unapproved(
    releases: Releases, policy: Release, shadow: Shadow, found: Comparison, missing: str, now: datetime
) -> Step:
    """Wait, but not for ever: while it does, nothing else can be released."""
    if now - shadow.since < policy.patience:
        return Step(None, shadow.challenger, missing, found)
    reason = f"not approved within {in_days(policy.patience)}: {missing}"
    releases.record(Act.REJECTION, shadow.challenger, at=now, reason=reason, inputs=_evidence(found))
    return Step(Act.REJECTION, shadow.challenger, reason, found)


def _in_watch(releases: Releases, objective: Objective, policy: Release, watch: Watch, now: datetime) -> Step:
    version, rows = watch.champion, policy.shadow_rows // 2
    found = _compared(releases, objective, policy, version, watch.former, since=watch.since, rows=rows, now=now)
    decision = after_promotion(watch, policy, found, now)
    if decision.act is Act.ROLLBACK:
        releases.roll_back(watch.former, at=now, reason=decision.reason, inputs=_evidence(found))
    elif decision.act is not None:
        releases.record(decision.act, version, at=now, reason=decision.reason, inputs=_evidence(found))
    return Step(decision.act, version, decision.reason, found)


def _compared(
    releases: Releases,
    objective: Objective,
    policy: Release,
    newer: str,
    older: str,
    *,
    since: datetime,
    rows: int,
    now: datetime,
) -> Comparison:
    """Both versions on what both answered since, if `rows` of it have an outcome."""
    pairs = paired_answers(
        releases.settings, objective, model=releases.model, newer=newer, older=older, since=since, now=now
    )
    return comparison(pairs, objective, minimum_rows=rows, confidence=policy.confidence)


def _began_with(releases: Releases, version: str) -> dict[str, Any]:
    """What the entry that began the shadow rests on: data, run, gates."""
    subject = f"{releases.model}/{version}"
    return releases.ledger.entries(subject=subject, acts=(Act.SHADOW,))[-1].inputs


def _evidence(found: Comparison) -> dict[str, Any]:
    return {"comparison": asdict(found)}
