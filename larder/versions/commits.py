"""What the log of a Delta table says: which versions there are, and what each did."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deltalake import DeltaTable

from larder.contracts.errors import MissingTableError

_ADDED, _MOVED = ("numOutputRows", "num_added_rows"), ("num_moved_rows",)
_MERGED = {
    "inserted": ("numTargetRowsInserted", "num_target_rows_inserted"),
    "updated": ("numTargetRowsUpdated", "num_target_rows_updated"),
    "deleted": ("numTargetRowsDeleted", "num_target_rows_deleted"),
}
_UPDATED, _DELETED = ("numUpdatedRows", "num_updated_rows"), ("numDeletedRows", "num_deleted_rows")
_WITHOUT_ROWS = {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD COLUMNS", "CHANGE COLUMN"}


@dataclass(frozen=True)
class RowChange:
    """Rows that came and went; an updated row does both."""

    added: int
    removed: int


@dataclass(frozen=True)
class Commit:
    version: int
    committed_at: datetime
    """UTC, never before that of an earlier version."""
    operation: str
    change: RowChange | None
    """None where the log does not tell."""


def commits(place: str) -> list[Commit]:
    """Every commit that the log of the table at `place` still holds, the oldest first."""
    found: list[Commit] = []
    for entry in sorted(_history(place), key=lambda entry: int(entry["version"])):
        at = datetime.fromtimestamp(int(entry.get("inCommitTimestamp") or entry.get("timestamp") or 0) / 1000, UTC)
        # Clocks of writers differ; time travel needs instants that do not fall.
        at = max(at, found[-1].committed_at) if found else at
        operation = str(entry.get("operation", "unknown"))
        found.append(Commit(int(entry["version"]), at, operation, _change(operation, entry)))
    return found


def version_at(place: str, instant: datetime) -> int:
    """The latest version of the table that was committed at or before `instant` (time zone required).

    By the instants that the commits state, not by the modification times of log files, which copying changes.
    Raises MissingTableError when the log holds no version that old.
    """
    known = commits(place)
    before = [commit.version for commit in known if commit.committed_at <= instant]
    if not before:
        first = known[0]
        gone = f"; versions before {first.version} are no longer in its log" if first.version else ""
        raise MissingTableError(
            f"{place} had no version at {instant.isoformat()}: its first is version {first.version} of "
            f"{first.committed_at.isoformat()}{gone}. Pin a later timestamp."
        )
    return before[-1]


def summed(changes: Sequence[RowChange | None]) -> RowChange | None:
    """All changes together; None when one of them is not known."""
    known = [change for change in changes if change is not None]
    if len(known) < len(changes):
        return None
    return RowChange(sum(change.added for change in known), sum(change.removed for change in known))


def _history(place: str) -> list[dict[str, Any]]:
    """deltalake lists the commits up to the newest, but counts their versions down from the one that was opened."""
    while True:
        table = DeltaTable(place)
        entries: list[dict[str, Any]] = table.history()
        if DeltaTable(place).version() == table.version():
            return entries


def _change(operation: str, entry: dict[str, Any]) -> RowChange | None:
    metrics = entry.get("operationMetrics") or {}
    mode = str((entry.get("operationParameters") or {}).get("mode", "")).lower()
    if operation in _WITHOUT_ROWS:
        return RowChange(0, 0)
    if operation == "MERGE":
        inserted, updated, deleted = (_metric(metrics, names) for names in _MERGED.values())
        if inserted is None or updated is None or deleted is None:
            return None
        return RowChange(inserted + updated, deleted + updated)
    if operation == "DELETE" and (deleted := _metric(metrics, _DELETED)) is not None:
        return RowChange(0, deleted)
    if operation == "UPDATE" and (updated := _metric(metrics, _UPDATED)) is not None:
        return RowChange(updated, updated)
    if operation in ("WRITE", "STREAMING UPDATE", "CREATE TABLE") and (mode != "overwrite" or entry["version"] == 0):
        added = _metric(metrics, _ADDED)
        return None if added is None else RowChange(added - (_metric(metrics, _MOVED) or 0), 0)
    return None


def _metric(metrics: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """The engines that write Delta name their metrics each in its own way."""
    return next((int(metrics[name]) for name in names if metrics.get(name) is not None), None)
