"""Promotion and rollback: each is one entry of the ledger, which pointers and alias then follow."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from larder.contracts.bundle import read_files, read_manifest
from larder.contracts.errors import MissingTableError
from larder.contracts.settings import Settings
from larder.ledger import Act, Entry, Ledger
from larder.ledger.service import SERVING_ACTS
from training.release.settle import agree, bundle_record, one_release, require_intact
from training.release.state import FORMER, WATCH_UNTIL, ReleaseState, release_state


@dataclass(frozen=True)
class Releases:
    """The releases of one model, settled, in the hands of the one process that may act on them (`releasing`).

    An act is done once its entry is on disk: cut off after that, `settle` completes it; before, nothing happened.
    """

    settings: Settings
    model: str
    ledger: Ledger
    completed: list[str]
    """What an act that was cut off had left to do, done now."""

    @property
    def state(self) -> ReleaseState:
        return release_state(self.ledger, self.model)

    def record(
        self,
        act: Act,
        version: str,
        *,
        at: datetime,
        reason: str,
        inputs: Mapping[str, Any] | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> Entry:
        """One entry about a version, and all that follows from it. Raises InvalidDataError for an edited ledger."""
        require_intact(self.ledger)
        subject = f"{self.model}/{version}"
        entry = self.ledger.append(act, subject, at=at, reason=reason, inputs=inputs, outcome=outcome)
        agree(self.settings, self.model, self.ledger)
        return entry

    def promote(
        self, version: str, *, at: datetime, reason: str, inputs: Mapping[str, Any], watch_until: datetime | None = None
    ) -> Entry:
        """Let `version` serve; watched until `watch_until` if another one served before."""
        bundle, former = self._whole_bundle(version), self.state.champion
        watch = watch_until.isoformat() if watch_until is not None and former is not None else None
        outcome = {FORMER: former, WATCH_UNTIL: watch}
        return self.record(Act.PROMOTION, version, at=at, reason=reason, inputs=bundle | dict(inputs), outcome=outcome)

    def roll_back(self, version: str, *, at: datetime, reason: str, inputs: Mapping[str, Any] | None = None) -> Entry:
        """Let `version` serve again; whatever release is under way ends."""
        bundle, outcome = self._whole_bundle(version), {FORMER: self.state.champion}
        return self.record(
            Act.ROLLBACK, version, at=at, reason=reason, inputs=bundle | dict(inputs or {}), outcome=outcome
        )

    def _whole_bundle(self, version: str) -> dict[str, Any]:
        """Raises MissingTableError without the version's bundle, InvalidDataError when a file of it was changed or
        nobody who is trusted signed it."""
        folder = self.settings.bundles / self.model / version
        manifest = read_manifest(folder, trusted_keys=self.settings.trusted_keys)
        read_files(folder, manifest)
        return bundle_record(manifest)


@contextmanager
def releasing(settings: Settings, model: str, ledger: Ledger) -> Iterator[Releases]:
    """Raises BusyError while another process acts on the model's releases."""
    with one_release(settings, model):
        yield Releases(settings, model, ledger, agree(settings, model, ledger))


def rollback(
    settings: Settings, model: str, *, ledger: Ledger, now: datetime, reason: str, to: str | None = None
) -> Entry:
    """Let the former champion, or version `to`, serve again; the entry that says so.

    A rollback that was cut off is completed, and no other one begun. Raises MissingTableError when there is nothing
    to go back to, InvalidDataError when the bundle is damaged or the ledger was edited.
    """
    with releasing(settings, model, ledger) as releases:
        state = releases.state
        target = to or state.previous
        last = next(reversed(ledger.entries(subject=model, acts=SERVING_ACTS)), None)
        is_resumed = bool(releases.completed) and to is None
        if last is not None and (target == state.champion or (is_resumed and last.act is Act.ROLLBACK)):
            return last
        if target is None:
            serving = f"version {state.champion} serves, none did before" if state.champion else "none ever served"
            raise MissingTableError(
                f"There is no version of {model!r} to go back to: {serving}. Name one that has a bundle under "
                f"{settings.bundles / model}, or promote another with `larder promote`."
            )
        return releases.roll_back(target, at=now, reason=reason)
