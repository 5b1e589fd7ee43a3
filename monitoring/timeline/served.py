"""Which version served when, and what was trained, promoted and rolled back, out of the ledger's entries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from larder.ledger import Act, Entry
from larder.ledger.service import services
from monitoring.reports.formats import instant

COLOURS = 6
"""Bands have as many colours; the seventh version has the first's."""

SHOWN = (Act.TRAINING, Act.REJECTION, Act.PROMOTION, Act.ROLLBACK)


@dataclass(frozen=True)
class Served:
    """A version answered in [since, until)."""

    version: str
    since: datetime
    until: datetime | None
    """None: it still does."""

    @property
    def title(self) -> str:
        until = f"until {instant(self.until.isoformat())}" if self.until else "on"
        return f"version {self.version} served from {instant(self.since.isoformat())} {until}"


@dataclass(frozen=True)
class Mark:
    """What was done to a version, and why."""

    at: datetime
    act: str
    version: str
    reason: str

    @property
    def title(self) -> str:
        verb = "to" if self.act == Act.ROLLBACK else "of"
        return f"{self.act} {verb} version {self.version}, {instant(self.at.isoformat())}: {self.reason}"


def served(entries: Iterable[Entry]) -> list[Served]:
    """The versions in the order in which they served: the subject of a promotion or rollback serves from then on."""
    return [Served(item.version, item.since, item.until) for item in services(entries)]


def marks(entries: Iterable[Entry]) -> list[Mark]:
    """Trainings, rejections, promotions and rollbacks in the order of the ledger."""
    return [Mark(entry.at, str(entry.act), entry.version, entry.reason) for entry in entries if entry.act in SHOWN]


def colours(items: Sequence[Served]) -> dict[str, int]:
    """Version -> number of its colour, by first service."""
    versions = dict.fromkeys(item.version for item in items)
    return {version: index % COLOURS for index, version in enumerate(versions)}
