"""Approvals: persons who say that a version may serve, on record in the ledger before it does.

A name is what the machine calls the user; who may write the ledger's file decides what a name is worth.
"""

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
        trained = [entry.version for entry in ledger.entries(subject=model, acts=(Act.TRAINING,))]
        if version not in trained:
            raise MissingTableError(
                f"The ledger knows no training of {model} version {version!r}; it knows versions "
                f"{', '.join(dict.fromkeys(trained)) or 'none'}. Train one with `larder train`."
            )
        if ledger.actor in trainers(ledger, model, version):
            raise ApprovalError(
                f"{ledger.actor} trained {model} version {version}, so somebody else has to approve it."
            )
        given = [entry for entry in _approvals(ledger, model, version) if entry.actor == ledger.actor]
        return given[0] if given else releases.record(Act.APPROVAL, version, at=now, reason=reason)


def unapproved(ledger: Ledger, policy: Release, *, model: str, version: str) -> str:
    """What keeps the version from serving, in one sentence; empty when as many persons as `policy` asks approved it."""
    by = sorted({entry.actor for entry in _approvals(ledger, model, version)} - trainers(ledger, model, version))
    if len(by) >= policy.approvals:
        return ""
    return (
        f"{model} version {version} may serve once {policy.approvals} who did not train it have approved it; so far "
        f"{', '.join(by) or 'nobody'} did. Approve with `larder models approve {version}`."
    )


def require_approved(ledger: Ledger, policy: Release, *, model: str, version: str) -> None:
    if missing := unapproved(ledger, policy, model=model, version=version):
        raise ApprovalError(missing)


def trainers(ledger: Ledger, model: str, version: str) -> set[str]:
    """Who trained the version: a person, or the account of a schedule."""
    return {entry.actor for entry in ledger.entries(subject=f"{model}/{version}", acts=(Act.TRAINING,))}


def _approvals(ledger: Ledger, model: str, version: str) -> list[Entry]:
    return ledger.entries(subject=f"{model}/{version}", acts=(Act.APPROVAL,))
