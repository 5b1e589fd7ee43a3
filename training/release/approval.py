"""Approvals: persons who say that a version may serve, on record in the ledger before it does, or that it may not.

A name is what the machine calls the user, and the same on every machine; who may write the ledger's file decides what a
name is worth.
"""

from collections.abc import Iterable
from datetime import datetime

from larder.contracts.errors import ApprovalError, MissingTableError
from larder.contracts.retraining import Release
from larder.contracts.settings import Settings
from larder.ledger import Act, Entry, Ledger
from training.release.acts import releasing


def approve(settings: Settings, model: str, version: str, *, ledger: Ledger, now: datetime, reason: str) -> Entry:
    """Record that the ledger's actor approves of the version; a second time the entry that is there.

    Raises MissingTableError for a version that was never trained, ApprovalError for who trained it, BusyError while
    another process acts, and InvalidDataError when the ledger was edited.
    """
    with releasing(settings, model, ledger) as releases:
        _require_trained(ledger, model, version)
        if _person(ledger.actor) in _persons(_trainings(ledger, model, version)):
            raise ApprovalError(
                f"{ledger.actor} trained {model} version {version}, so somebody else has to approve it."
            )
        given = [entry for entry in _approvals(ledger, model, version) if _person(entry.actor) == _person(ledger.actor)]
        return given[0] if given else releases.record(Act.APPROVAL, version, at=now, reason=reason)


def reject(settings: Settings, model: str, version: str, *, ledger: Ledger, now: datetime, reason: str) -> Entry:
    """Record that the version may not serve: its shadow ends, and approvals that it had count no longer.

    Raises MissingTableError for a version that was never trained, ApprovalError for the one that serves, BusyError
    while another process acts, and InvalidDataError when the ledger was edited.
    """
    with releasing(settings, model, ledger) as releases:
        _require_trained(ledger, model, version)
        if version == releases.state.champion:
            raise ApprovalError(f"{model} version {version} serves. Take it back with `larder models rollback`.")
        last = ledger.entries(subject=f"{model}/{version}")[-1]
        return last if last.act is Act.REJECTION else releases.record(Act.REJECTION, version, at=now, reason=reason)


def unapproved(ledger: Ledger, policy: Release, *, model: str, version: str) -> str:
    """What keeps the version from serving, in one sentence; empty when as many persons as `policy` asks approved it."""
    by = sorted(_persons(_approvals(ledger, model, version)) - _persons(_trainings(ledger, model, version)))
    if len(by) >= policy.approvals:
        return ""
    return (
        f"{model} version {version} may serve once {policy.approvals} who did not train it have approved it; so far "
        f"{', '.join(by) or 'nobody'} did. Approve with `larder models approve {version}`."
    )


def require_approved(ledger: Ledger, policy: Release, *, model: str, version: str) -> None:
    if missing := unapproved(ledger, policy, model=model, version=version):
        raise ApprovalError(missing)


def _require_trained(ledger: Ledger, model: str, version: str) -> None:
    trained = [entry.version for entry in ledger.entries(subject=model, acts=(Act.TRAINING,))]
    if version not in trained:
        raise MissingTableError(
            f"The ledger knows no training of {model} version {version!r}; it knows versions "
            f"{', '.join(dict.fromkeys(trained)) or 'none'}. Train one with `larder train`."
        )


def _trainings(ledger: Ledger, model: str, version: str) -> list[Entry]:
    """By a person, or the account of a schedule."""
    return ledger.entries(subject=f"{model}/{version}", acts=(Act.TRAINING,))


def _approvals(ledger: Ledger, model: str, version: str) -> list[Entry]:
    """Those since the version was last rejected: whoever approved it before did not know why."""
    entries = ledger.entries(subject=f"{model}/{version}", acts=(Act.APPROVAL, Act.REJECTION))
    rejected = max((entry.number for entry in entries if entry.act is Act.REJECTION), default=0)
    return [entry for entry in entries if entry.number > rejected]


def _persons(entries: Iterable[Entry]) -> set[str]:
    return {_person(entry.actor) for entry in entries}


def _person(actor: str) -> str:
    """Without the machine: who works at two is one person, and each container has a name of its own."""
    return actor.partition("@")[0]
