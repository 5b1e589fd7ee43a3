"""What changed in a table between two of its versions, told by its log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from deltalake import DeltaTable

from larder.contracts.errors import MissingTableError
from larder.offline.tables.delta_table import open_table
from larder.versions.commits import Commit, RowChange, commits, summed
from larder.versions.sides import Version
from larder.versions.snapshot import ColumnStatistics, column_statistics, columns, row_count, row_counts

Value = TypeVar("Value")


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    version: int
    rows: int | None
    columns: Mapping[str, str]
    """Type by name."""
    statistics: Mapping[str, ColumnStatistics]


@dataclass(frozen=True)
class Changed:
    """A fact about a column before and after; None where there was or is none."""

    column: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class TableDifference:
    before: Side
    after: Side
    rows: RowChange | None
    """None where the log does not count rows."""
    is_exact: bool
    """Whether the commits state the rows; else they are those of the files that came and went, which an engine may
    have copied from one to the other."""

    @property
    def schema(self) -> list[Changed]:
        return [
            Changed(name, self.before.columns.get(name), self.after.columns.get(name))
            for name in _names(self.before.columns, self.after.columns)
            if self.before.columns.get(name) != self.after.columns.get(name)
        ]

    @property
    def statistics(self) -> list[Changed]:
        """Columns of both whose nulls or range changed."""
        return [
            Changed(name, _text(self.before.statistics[name]), _text(self.after.statistics[name]))
            for name in self.after.statistics
            if name in self.before.statistics and self.before.statistics[name] != self.after.statistics[name]
        ]

    @property
    def is_same(self) -> bool:
        """Whether nothing was found to differ but the number of the version."""
        return self.rows == RowChange(0, 0) and not self.schema and not self.statistics


def between(place: str, before: Version, after: Version) -> TableDifference | None:
    """What changed in the table at `place`; None when both are the same version.

    Raises MissingTableError when a version is gone or belongs to another table than was pinned.
    """
    new = open_table(place, after.version)
    ids = {version.table_id for version in (before, after) if version.table_id} | {str(new.metadata().id)}
    if len(ids) > 1:
        raise MissingTableError(
            f"{place} was deleted and written anew since it was pinned (ids {sorted(ids)}), so its versions cannot be "
            "compared. Pin it again."
        )
    if before.version == new.version():
        return None
    return difference(open_table(place, before.version), new, commits(place))


def difference(before: DeltaTable, after: DeltaTable, log: Sequence[Commit]) -> TableDifference:
    """From the opened version `before` to `after`, the later or the earlier one; `log` are the table's commits."""
    sides = _side(before), _side(after)
    rows = _stated(*sides, log)
    return TableDifference(*sides, rows or _by_files(before, after), is_exact=rows is not None)


def _stated(before: Side, after: Side, log: Sequence[Commit]) -> RowChange | None:
    """What the commits between say, as long as they say it all and it fits the number of rows."""
    first, last = sorted((before.version, after.version))
    between = [commit for commit in log if first < commit.version <= last]
    change = summed([commit.change for commit in between])
    if change is None or len(between) != last - first or before.rows is None or after.rows is None:
        return None
    if before.version > after.version:
        change = RowChange(change.removed, change.added)
    return change if before.rows + change.added - change.removed == after.rows else None


def _by_files(before: DeltaTable, after: DeltaTable) -> RowChange | None:
    if row_count(before) is None or row_count(after) is None:
        return None
    old, new = row_counts(before), row_counts(after)
    added, removed = (sum(mine[path] for path in mine.keys() - other) for mine, other in ((new, old), (old, new)))
    return RowChange(added, removed)


def _side(table: DeltaTable) -> Side:
    return Side(table.version(), row_count(table), columns(table), column_statistics(table))


def _names(before: Mapping[str, Value], after: Mapping[str, Value]) -> list[str]:
    return list(dict.fromkeys((*before, *after)))


def _text(statistics: ColumnStatistics) -> str:
    nulls = "nulls unknown" if statistics.nulls is None else f"{statistics.nulls:,} nulls"
    if statistics.smallest is None or statistics.largest is None:
        return nulls
    return f"{statistics.smallest} .. {statistics.largest}, {nulls}"
