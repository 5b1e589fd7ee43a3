"""Where the releases of a model stand, read from the ledger alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from larder.ledger import Act, Entry, Ledger

SERVING_ACTS = (Act.PROMOTION, Act.ROLLBACK)
"""Their subject serves from then on."""

WATCH_UNTIL, FORMER = "watch_until", "former"
"""Of a promotion's outcome: end of the watch (ISO 8601, null without one) and the champion before (null: none)."""

ADOPTED = "adopted: promoted before there was a ledger"


@dataclass(frozen=True)
class ReleaseState:
    line: tuple[str, ...] = ()
    """Versions in order of succession, the champion last. A rollback shortens it to the version gone back to."""
    champion_since: datetime | None = None
    entry: str | None = None
    """Hash of the entry that made the champion."""
    shadow: str | None = None
    """The challenger that answers unseen."""
    shadow_since: datetime | None = None
    watch_until: datetime | None = None
    """End of the watch over the champion; the watch lasts until it is confirmed or rolled back."""
    trainings: tuple[datetime, ...] = ()

    @property
    def champion(self) -> str | None:
        return self.line[-1] if self.line else None

    @property
    def previous(self) -> str | None:
        """The version that a rollback goes back to."""
        return self.line[-2] if len(self.line) > 1 else None

    @property
    def listener(self) -> str | None:
        """The version that should answer unseen: the challenger, or during a watch the former champion."""
        return self.previous if self.watch_until is not None else self.shadow

    @property
    def pending(self) -> bool:
        """Whether a release is under way, in shadow or under watch; meanwhile no other begins."""
        return self.shadow is not None or self.watch_until is not None

    @property
    def last_training_at(self) -> datetime | None:
        return self.trainings[-1] if self.trainings else None


@dataclass(frozen=True)
class Service:
    """A time during which one version served."""

    version: str
    since: datetime
    until: datetime | None
    """None while it serves."""
    act: Act
    """What made it serve: promotion or rollback."""
    reason: str
    actor: str


def release_state(ledger: Ledger, model: str) -> ReleaseState:
    """What the entries about `<model>/<version>` come to."""
    state = ReleaseState()
    for entry in ledger.entries(subject=model, acts=tuple(_AFTER)):
        if entry.subject != model:
            state = _AFTER[entry.act](state, entry)
    return state


def history(ledger: Ledger, model: str) -> list[Service]:
    """Which version served when, in order; without gaps, each instant belonging to one version."""
    made = ledger.entries(subject=model, acts=SERVING_ACTS)
    ends = [entry.at for entry in made[1:]] + [None]
    return [
        Service(_version(entry), entry.at, until, entry.act, entry.reason, entry.actor)
        for entry, until in zip(made, ends, strict=True)
    ]


def _after_training(state: ReleaseState, entry: Entry) -> ReleaseState:
    return replace(state, trainings=(*state.trainings, entry.at))


def _after_shadow(state: ReleaseState, entry: Entry) -> ReleaseState:
    return replace(state, shadow=_version(entry), shadow_since=entry.at)


def _after_rejection(state: ReleaseState, entry: Entry) -> ReleaseState:
    """A challenger may also be rejected by its gates, before any shadow."""
    return replace(state, shadow=None, shadow_since=None) if state.shadow == _version(entry) else state


def _after_promotion(state: ReleaseState, entry: Entry) -> ReleaseState:
    until = entry.outcome.get(WATCH_UNTIL)
    return _serving(state, entry, (*state.line, _version(entry)), datetime.fromisoformat(until) if until else None)


def _after_rollback(state: ReleaseState, entry: Entry) -> ReleaseState:
    version = _version(entry)
    former = state.line[:-1]
    # A version promoted twice is gone back to where it served last.
    kept = former[: len(former) - former[::-1].index(version)] if version in former else (version,)
    return _serving(state, entry, kept, None)


def _after_confirmation(state: ReleaseState, entry: Entry) -> ReleaseState:
    return replace(state, watch_until=None) if state.champion == _version(entry) else state


def _serving(state: ReleaseState, entry: Entry, line: tuple[str, ...], watch_until: datetime | None) -> ReleaseState:
    """A new champion ends whatever was under way."""
    return ReleaseState(
        line, entry.at, entry.hash, shadow=None, shadow_since=None, watch_until=watch_until, trainings=state.trainings
    )


def _version(entry: Entry) -> str:
    return entry.subject.rpartition("/")[2]


_AFTER: dict[Act, Callable[[ReleaseState, Entry], ReleaseState]] = {
    Act.TRAINING: _after_training,
    Act.SHADOW: _after_shadow,
    Act.REJECTION: _after_rejection,
    Act.PROMOTION: _after_promotion,
    Act.ROLLBACK: _after_rollback,
    Act.CONFIRMATION: _after_confirmation,
}
