"""Where the releases of a model stand, read from the ledger alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from larder.ledger import Act, Entry, Ledger
from larder.ledger.service import Service, services

WATCH_UNTIL, FORMER = "watch_until", "former"
"""Of a promotion's outcome: end of the watch (ISO 8601, null without one) and the champion before (null: none)."""

ADOPTED = "adopted: promoted before there was a ledger"


@dataclass(frozen=True)
class Shadow:
    """A challenger answers beside the champion, unseen by callers."""

    challenger: str
    champion: str
    since: datetime


@dataclass(frozen=True)
class Watch:
    """A promoted version is watched; the former one answers beside it, unseen, ready to serve again."""

    champion: str
    former: str
    since: datetime
    until: datetime
    """From then on the watch may end; it lasts until the champion is confirmed or rolled back."""


@dataclass(frozen=True)
class ReleaseState:
    line: tuple[str, ...] = ()
    """Versions in order of succession, the champion last. A rollback shortens it to the version gone back to."""
    entry: str | None = None
    """Hash of the entry that made the champion."""
    under_way: Shadow | Watch | None = None

    @property
    def champion(self) -> str | None:
        return self.line[-1] if self.line else None

    @property
    def previous(self) -> str | None:
        """The version that a rollback goes back to."""
        return self.line[-2] if len(self.line) > 1 else None

    @property
    def shadow(self) -> str | None:
        """The challenger in shadow."""
        return self.under_way.challenger if isinstance(self.under_way, Shadow) else None

    @property
    def shadow_since(self) -> datetime | None:
        return self.under_way.since if isinstance(self.under_way, Shadow) else None

    @property
    def watch_until(self) -> datetime | None:
        return self.under_way.until if isinstance(self.under_way, Watch) else None

    @property
    def listener(self) -> str | None:
        """The version that should answer unseen: the challenger, or during a watch the former champion."""
        return self.under_way.former if isinstance(self.under_way, Watch) else self.shadow

    @property
    def pending(self) -> bool:
        """Whether a release is under way; meanwhile no other begins."""
        return self.under_way is not None


def release_state(ledger: Ledger, model: str) -> ReleaseState:
    """What the entries about `<model>/<version>` come to."""
    state = ReleaseState()
    for entry in ledger.entries(subject=model, acts=tuple(_AFTER)):
        if entry.subject != model:
            state = _AFTER[entry.act](state, entry)
    return state


def history(ledger: Ledger, model: str) -> list[Service]:
    """Which version served when, in order; without gaps, each instant belonging to one version."""
    return services(ledger.entries(subject=model))


def _after_shadow(state: ReleaseState, entry: Entry) -> ReleaseState:
    if state.champion is None:
        return state
    return replace(state, under_way=Shadow(entry.version, state.champion, entry.at))


def _after_rejection(state: ReleaseState, entry: Entry) -> ReleaseState:
    """A challenger may also be rejected by its gates, before any shadow."""
    return replace(state, under_way=None) if state.shadow == entry.version else state


def _after_promotion(state: ReleaseState, entry: Entry) -> ReleaseState:
    version, until = entry.version, entry.outcome.get(WATCH_UNTIL)
    watch = None
    if state.champion is not None and until is not None:
        watch = Watch(version, state.champion, entry.at, datetime.fromisoformat(until))
    return _serving(state, entry, (*state.line, version), watch)


def _after_rollback(state: ReleaseState, entry: Entry) -> ReleaseState:
    version, former = entry.version, state.line[:-1]
    # A version that was promoted twice is gone back to where it served last.
    kept = former[: len(former) - former[::-1].index(version)] if version in former else (version,)
    return _serving(state, entry, kept, None)


def _after_confirmation(state: ReleaseState, entry: Entry) -> ReleaseState:
    watch = state.under_way
    return replace(state, under_way=None) if isinstance(watch, Watch) and watch.champion == entry.version else state


def _serving(state: ReleaseState, entry: Entry, line: tuple[str, ...], watch: Watch | None) -> ReleaseState:
    """A new champion ends whatever was under way."""
    return replace(state, line=line, entry=entry.hash, under_way=watch)


_AFTER: dict[Act, Callable[[ReleaseState, Entry], ReleaseState]] = {
    Act.SHADOW: _after_shadow,
    Act.REJECTION: _after_rejection,
    Act.PROMOTION: _after_promotion,
    Act.ROLLBACK: _after_rollback,
    Act.CONFIRMATION: _after_confirmation,
}
