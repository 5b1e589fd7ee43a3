"""Move a release on as far as known outcomes allow: shadow to promotion or rejection, watch to its end or rollback."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from larder.contracts.objective import Objective
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings
from larder.ledger import Act, Ledger
from training.release.acts import Releases, releasing
from training.release.comparison import Comparison, comparison, paired_answers
from training.release.decision import after_promotion, after_shadow
from training.release.state import ReleaseState


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

    Raises MissingTableError without a label table, InvalidDataError when a bundle is damaged or the ledger was edited.
    """
    with releasing(settings, model, ledger) as releases:
        state = releases.state
        if state.shadow is not None:
            return _in_shadow(releases, objective, policy, state, now)
        if state.watch_until is not None:
            return _in_watch(releases, objective, policy, state, now)
        return Step(None, state.champion, "No release is under way.", None)


def _in_shadow(releases: Releases, objective: Objective, policy: Release, state: ReleaseState, now: datetime) -> Step:
    challenger, champion, since = state.shadow, state.champion, state.shadow_since
    assert challenger is not None and champion is not None and since is not None
    pairs = paired_answers(
        releases.settings, objective, model=releases.model, newer=challenger, older=champion, since=since, now=now
    )
    found = comparison(pairs, objective, minimum_rows=policy.shadow_rows, confidence=policy.confidence)
    decision = after_shadow(state, policy, found, now)
    if decision.act is Act.PROMOTION:
        inputs = _began_with(releases, challenger) | _evidence(found)
        releases.promote(challenger, at=now, reason=decision.reason, inputs=inputs, watch_until=now + policy.watch)
    elif decision.act is not None:
        releases.record(decision.act, challenger, at=now, reason=decision.reason, inputs=_evidence(found))
    return Step(decision.act, challenger, decision.reason, found)


def _in_watch(releases: Releases, objective: Objective, policy: Release, state: ReleaseState, now: datetime) -> Step:
    champion, former, since = state.champion, state.previous, state.champion_since
    assert champion is not None and former is not None and since is not None
    pairs = paired_answers(
        releases.settings, objective, model=releases.model, newer=champion, older=former, since=since, now=now
    )
    found = comparison(pairs, objective, minimum_rows=policy.shadow_rows // 2, confidence=policy.confidence)
    decision = after_promotion(state, policy, found, now)
    if decision.act is Act.ROLLBACK:
        releases.roll_back(former, at=now, reason=decision.reason, inputs=_evidence(found))
    elif decision.act is not None:
        releases.record(decision.act, champion, at=now, reason=decision.reason, inputs=_evidence(found))
    return Step(decision.act, champion, decision.reason, found)


def _began_with(releases: Releases, version: str) -> dict[str, Any]:
    """What the entry that began the shadow rests on: data, run, gates."""
    subject = f"{releases.model}/{version}"
    return releases.ledger.entries(subject=subject, acts=(Act.SHADOW,))[-1].inputs


def _evidence(found: Comparison) -> dict[str, Any]:
    return {"comparison": asdict(found)}
