"""Which version served when, as the ledger tells."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from larder.ledger.entry import Act, Entry

SERVING_ACTS = (Act.PROMOTION, Act.ROLLBACK)
"""Their subject serves from then on."""


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


def services(entries: Iterable[Entry]) -> list[Service]:
    """Of the entries about one model, in order; without gaps, each instant belonging to one version."""
    made = [entry for entry in entries if entry.act in SERVING_ACTS]
    ends = [*(entry.at for entry in made[1:]), None]
    return [
        Service(entry.version, entry.at, until, entry.act, entry.reason, entry.actor)
        for entry, until in zip(made, ends, strict=False)
    ]
