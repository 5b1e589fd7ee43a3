"""One entry of the ledger, and the chain of hashes that makes a change to any of them visible."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

GENESIS = "0" * 64
"""Stands for the hash of the entry before the first."""


class Act(StrEnum):
    INGESTION = "ingestion"
    FEATURES = "features"
    MONITORING = "monitoring"
    DECISION = "decision"
    """To retrain, or not."""
    TRAINING = "training"
    EVALUATION = "evaluation"
    """The gates' result."""
    SHADOW = "shadow"
    """A challenger begins to answer unseen."""
    APPROVAL = "approval"
    """A person says that a version may serve."""
    SIGNATURE = "signature"
    """A bundle that was there is signed by hand; promotion signs without a further entry."""
    PROMOTION = "promotion"
    REJECTION = "rejection"
    ROLLBACK = "rollback"
    CONFIRMATION = "confirmation"
    """The watch after a promotion ended well."""
    ERASURE = "erasure"
    """Rows of an entity are deleted everywhere; one entry before, one after."""
    EXPIRY = "expiry"
    """Rows that were kept for a time are deleted."""


class Entry(msgspec.Struct, frozen=True):
    number: int
    """Counts from 1."""
    at: datetime
    """The clock's instant, UTC."""
    act: Act
    subject: str
    """What it was done to: `<model>/<version>`, a model, a table."""
    actor: str
    """Who: a person's `user@host`, or the schedule's."""
    reason: str
    """Why, in plain words."""
    inputs: dict[str, Any]
    """What it rests on: table versions, hashes, findings."""
    outcome: dict[str, Any]
    """What came of it."""
    previous: str
    """Hash of the entry before."""
    hash: str = ""
    """SHA-256 of all of the above."""

    @property
    def version(self) -> str:
        """Of a subject `<model>/<version>`."""
        return self.subject.rpartition("/")[2]


def sealed(entry: Entry) -> Entry:
    """The entry with its hash."""
    return msgspec.structs.replace(entry, hash=_hash(entry))


def encoded(entry: Entry) -> bytes:
    """One line, without its end."""
    return msgspec.json.encode(entry)


def decoded(line: bytes) -> Entry:
    """Raises msgspec.DecodeError for what is no entry, or is not written as `encoded` writes it."""
    entry = msgspec.json.decode(line, type=Entry)
    if encoded(entry) != line:  # a field more, or one twice, that the hash does not cover
        raise msgspec.DecodeError("it holds something that no entry has")
    return entry


def chain_problem(entries: Iterable[Entry]) -> str | None:
    """The first place where the chain does not hold; None when it does."""
    previous = GENESIS
    for number, entry in enumerate(entries, start=1):
        if entry.number != number:
            return f"Entry {number} is missing: number {entry.number} stands in its place."
        if entry.previous != previous:
            return f"Entry {number} does not follow entry {number - 1}: one of them was changed, or another removed."
        if entry.hash != _hash(entry):
            return f"Entry {number} ({entry.act} of {entry.subject}) was changed after it was written."
        previous = entry.hash
    return None


def _hash(entry: Entry) -> str:
    content = msgspec.json.encode(msgspec.structs.replace(entry, hash=""), order="sorted")
    return hashlib.sha256(content).hexdigest()
