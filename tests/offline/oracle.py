"""The as-of value in plain loops: slow, obvious, and independent of the code it checks."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

Row = Mapping[str, Any]


def value_as_of(
    rows: Sequence[Row],
    key: Mapping[str, Any],
    at: datetime,
    *,
    event_timestamp: str = "event_timestamp",
    known_at: str | None = "known_at",
    cutoff: bool = True,
    ttl: timedelta | None = None,
    features: Sequence[str] = (),
) -> Row | None:
    """The row of `rows` that serving holds for `key` at `at`; None where there is none or it is too old.

    Replays the writes: each row arrives in turn and replaces what is held when it is newer by
    (event timestamp, known at), then by its features in order. Without a known at the event timestamp stands for it.
    """
    held: Row | None = None
    for row in rows:
        if any(key[name] is None or row[name] is None or row[name] != key[name] for name in key):
            continue
        if row[event_timestamp] is None or row[event_timestamp] > at:
            continue
        if cutoff and known_at and (row[known_at] is None or row[known_at] > at):
            continue
        if held is None or _rank(row, event_timestamp, known_at, features) > _rank(
            held, event_timestamp, known_at, features
        ):
            held = row
    if held is not None and ttl and at - held[event_timestamp] > ttl:
        return None
    return held


def _rank(row: Row, event_timestamp: str, known_at: str | None, features: Sequence[str]) -> tuple[Any, ...]:
    created = (row[known_at] or row[event_timestamp]) if known_at else ()
    return (row[event_timestamp], created, *(_comparable(row[name]) for name in features))


def _comparable(value: Any) -> tuple[Any, ...]:
    """Null is less than any value, NaN greater than any other."""
    if value is None:
        return (0,)
    if value != value:
        return (2,)
    return (1, value)
