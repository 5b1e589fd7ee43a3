"""Why an online value differs from its offline value, told from the two rows and from Redis' position."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Cause = Literal["missing", "lag", "late", "ttl", "schema", "damaged", "extra", "ahead", "bug"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

MEANINGS: dict[Cause, str] = {
    "missing": "Redis lacks the entity",
    "lag": "a newer row lies beyond the position of Redis: materialize again",
    "late": "a late or corrected row came in a table version beyond that position: materialize again",
    "ttl": "the same row, too old on one side only: the sides disagree on its ttl",
    "schema": "a record of another schema: the view's fields changed",
    "damaged": "bytes that are no whole record",
    "extra": "Redis serves a row that history does not hold",
    "ahead": "Redis holds a row from after the instant: is the clock behind the last materialization?",
    "bug": "another value for the same row, or an older row than the position says: a defect",
}
"""What materialization can still mend is `lag` or `late`, and only the rest may be a `bug`."""


class Stamps(NamedTuple):
    """Of one row; microseconds since 1970, UTC. Later stamps win."""

    event_timestamp: int
    known_at: int


@dataclass(frozen=True)
class Circumstances:
    """What both sides were read at."""

    instant: int
    """Of the comparison, microseconds since 1970."""
    reached: int | None
    """Instant that the last materialization reached; None when there was none."""
    has_table_moved: bool
    """Whether the table has, or may have, rows that it lacked when materialization read it."""
    is_seen_when_known: bool
    """Whether a row counts from its known_at on, else from its event timestamp."""
    tolerance: int
    """How far in the future a row may be dated to be written at all, microseconds."""

    def cause(self, online: Stamps, offline: Stamps | None) -> Cause:
        """Of a difference between two whole rows; `offline` None where history has none at the instant."""
        if offline is None or online > offline:
            latest = max(self.instant, self.reached or self.instant) + self.tolerance
            return "ahead" if self.instant < self._seen_at(online) <= latest else "extra"
        if self.reached is None or (online < offline and self._seen_at(offline) > self.reached):
            return "bug" if online == offline else "lag"
        return "late" if self.has_table_moved else "bug"

    def _seen_at(self, row: Stamps) -> int:
        return max(row) if self.is_seen_when_known else row.event_timestamp
