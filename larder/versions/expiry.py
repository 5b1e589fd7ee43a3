"""Rows that are kept for a time only: answers, refused rows, findings of monitors, feature logs.

No feature, label or training set is made of them, so nothing else changes when they go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deltalake.exceptions import DeltaError

from larder.contracts.errors import ConfigurationError, UnsupportedError, first_line
from larder.offline.retrieval.conditions import Between
from larder.offline.tables.delta_table import open_table, table_schema
from larder.offline.tables.rows import batches_of
from larder.versions.pins import name_of, place_of
from larder.versions.vacuum import Holders, Vacuumed, planned, vacuum

SINCE = {"monitoring": "run_at", "predictions": "at", "quarantine": "quarantined_at"}
"""Layer of the lake -> the column that says from when on a row is there, UTC."""

FEATURE_LOG = "__log_timestamp"
"""The same in a table of Feast's feature logging, wherever it lies. Its owner may train on it, so it must be named."""


@dataclass(frozen=True)
class Expired:
    """What went from one table, or would go."""

    rows: int
    vacuumed: Vacuumed
    """Files that only older versions have: they hold rows that went before."""


def expiring(tables: Sequence[str], lake: str) -> list[str]:
    """Those of `tables`, named relative to the lake, whose rows may expire without anybody having named them."""
    return [name for name in tables if _layer(name) in SINCE and _since(place_of(name, lake), lake)]


def to_expire(place: str, until: datetime, held: Holders, *, lake: str) -> Expired:
    """What `expire` would do; nothing is changed. Raises ConfigurationError for a table whose rows are kept."""
    condition = _condition(place, until, lake)
    rows = sum(batch.num_rows for batch in batches_of(open_table(place), [condition.column], [condition]))
    return Expired(rows, planned(place, held, retention_hours=None))


def expire(place: str, until: datetime, held: Holders, *, lake: str) -> Expired:
    """Delete the rows that the table has since `until` (UTC) or longer, then what VACUUM may: after Delta's own
    retention, a week by default, no file holds a row that went.

    Others may append meanwhile. Raises ConfigurationError for a table whose rows are kept, UnsupportedError for one
    that deltalake cannot rewrite.
    """
    condition = _condition(place, until, lake)
    try:
        rows = open_table(place).delete(condition.sql())["num_deleted_rows"]
    except DeltaError as problem:
        raise UnsupportedError(
            f"Rows of {place} cannot be deleted: deltalake says: {first_line(problem)}. Put this right and run the "
            "same command again."
        ) from problem
    return Expired(rows, vacuum(place, held, retention_hours=None))


def _condition(place: str, until: datetime, lake: str) -> Between:
    since = _since(place, lake)
    if since is None:
        raise ConfigurationError(
            f"Rows of {name_of(place, lake)} do not expire: only those of predictions/, quarantine/, monitoring/ and "
            "feature logs do, of which no feature and no training set is made. A person's rows go with `larder erase`."
        )
    return Between(since, None, until)


def _since(place: str, lake: str) -> str | None:
    """The column by which the table's rows expire; None where they are kept."""
    column = SINCE.get(_layer(name_of(place, lake)), FEATURE_LOG)
    return column if column in table_schema(place).names else None


def _layer(name: str) -> str:
    return name.partition("/")[0]
