"""How a use case declares its raw files and the tables made of them. Importing this loads no Spark.

    raw files -> bronze (text as it came) -> typed and checked rows -> `transform` -> silver and label tables

`pipelines/<use case>.py` declares one `Ingestion`; everything else about ingestion is generic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larder.contracts.errors import ConfigurationError
from larder.contracts.values import require_number, require_several

DTYPES = ("string", "int64", "float64", "bool", "date", "timestamp")
"""Types of a column. A `timestamp` is an instant: in a raw file it must carry its offset (`Z`, `-05:00`)."""

SOURCE_FILE, ROW_NUMBER = "source_file", "row_number"
"""Where a row came from: the file, and its 1-based data row there. A transform must keep both columns."""

CONTENT_HASH = "content_hash"
"""SHA-256 of the file's content, by which ingestion knows it again."""

BRONZE_COLUMNS = (SOURCE_FILE, ROW_NUMBER, CONTENT_HASH, "ingested_at", "batch_id", "malformed_record")
"""What bronze adds to the columns of a file; no declared column has such a name."""

Transform = Callable[[Any, Mapping[str, Any]], Any]
"""(typed rows, silver tables by name) -> the rows with further columns, all Spark DataFrames. It may add rows."""


@dataclass(frozen=True)
class Column:
    """A column, and what its values must fulfil. A row with any other value goes to quarantine."""

    name: str
    dtype: str = "string"
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    """The only values there are; None means any."""
    description: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigurationError(
                f"Column {self.name!r} has the type {self.dtype!r}; the types are {', '.join(DTYPES)}."
            )
        if self.name in BRONZE_COLUMNS or self.name.startswith("_"):
            raise ConfigurationError(
                f"Column {self.name!r} has a reserved name: {', '.join(BRONZE_COLUMNS)} and names that begin with _ "
                "are ingestion's own. Choose another name."
            )
        for bound in ("minimum", "maximum"):
            if getattr(self, bound) is not None:
                require_number(f"{bound} of column {self.name!r}", getattr(self, bound))
        if self.allowed is not None:
            require_several(f"allowed of column {self.name!r}", self.allowed, str)


@dataclass(frozen=True)
class Check:
    """A rule over several columns of a row."""

    column: str
    """The column to blame when the rule does not hold."""
    rule: str
    """Spark SQL condition over the typed columns; a row passes unless it is false."""
    reason: str
    """Ends the sentence "<column> <value> ...", for example "lies before the order"."""


@dataclass(frozen=True)
class RawTable:
    """A kind of raw file: CSV in UTF-8 with a header, or, by the end of its name, Parquet (`.parquet`) or JSON lines
    (`.jsonl`, `.ndjson`: one object per line).

    Columns may come in any order, and further ones stay in bronze. An empty text is null, and so is each of
    `null_values`.
    """

    name: str
    files: str
    """Pattern of the file names, like `orders*.csv`, or of their last folders too, like `orders/*.parquet`; `.zip` and
    `.gz` around such a file are unpacked."""
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Columns that identify the event, never null. A file's first row with a key counts; a later file corrects it."""
    checks: tuple[Check, ...] = ()
    transform: Transform | None = None
    """Adds what all tables made of this file need; None means that the raw columns suffice."""
    null_values: tuple[str, ...] = ("NA",)
    separator: str = ","
    arrives_at: str | None = None
    """Column, after the transform, with the instant from which anything of the row was known (UTC); a replay delivers
    rows by it. None, or null in a row: there from the beginning."""
    final_newline: bool = False
    """True: a file whose last line does not end counts as cut off; False: only one whose last line lacks columns."""

    def __post_init__(self) -> None:
        _require_table(self.name, self.key, self.columns)
        if not isinstance(self.files, str):
            raise ConfigurationError(
                f"files of table {self.name!r} is {self.files!r}; it must be one pattern, like 'orders*.csv'. Files of "
                "other names can be a raw table of their own."
            )
        require_several(f"checks of table {self.name!r}", self.checks, Check)
        require_several(f"null_values of table {self.name!r}", self.null_values, str)
        _require_columns(self.name, "check", tuple(check.column for check in self.checks), self.columns)
        if self.transform is None and self.arrives_at is not None:
            _require_columns(self.name, "arrives_at", (self.arrives_at,), self.columns)


@dataclass(frozen=True)
class SilverTable:
    """Clean events, one row per key, made of the rows of one raw table."""

    name: str
    source: str
    """Name of the raw table."""
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    """The table's columns in order, as the raw table's transform leaves them; key columns are never null."""
    where: str | None = None
    """Spark SQL condition for the rows that belong here; None means all."""

    def __post_init__(self) -> None:
        _require_table(self.name, self.key, self.columns)


@dataclass(frozen=True)
class LabelTable(SilverTable):
    """One row per entity and prediction instant; columns `event_timestamp` and `known_at` are required.

    `known_at` is the instant at which the label became known, null while (or because) it is not.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_columns(self.name, "label", ("event_timestamp", "known_at"), self.columns)


@dataclass(frozen=True)
class Ingestion:
    """Everything that ingestion does for a use case, in this order."""

    raw: tuple[RawTable, ...]
    """A table comes after those whose silver tables its transform reads."""
    silver: tuple[SilverTable, ...]
    labels: tuple[LabelTable, ...] = ()
    example: Callable[[], tuple[Path, ...]] | None = None
    """Finds raw files for a first run; they are copied when the folder for raw files is empty."""

    def __post_init__(self) -> None:
        require_several("raw of the ingestion", self.raw, RawTable)
        require_several("silver of the ingestion", self.silver, SilverTable)
        require_several("labels of the ingestion", self.labels, LabelTable)
        for kind in (self.raw, self.silver, self.labels):
            _require_different("tables", [table.name for table in kind])
        known = [table.name for table in self.raw]
        for table in self.tables:
            if table.source not in known:
                raise ConfigurationError(
                    f"Table {table.name!r} is made of the raw table {table.source!r}; the raw tables are {known}."
                )

    @property
    def tables(self) -> tuple[SilverTable, ...]:
        """Silver and label tables."""
        return (*self.silver, *self.labels)

    def tables_of(self, raw: RawTable) -> tuple[SilverTable, ...]:
        return tuple(table for table in self.tables if table.source == raw.name)


def _require_table(table: str, key: tuple[str, ...], columns: tuple[Column, ...]) -> None:
    require_several(f"columns of table {table!r}", columns, Column)
    require_several(f"key of table {table!r}", key, str)
    if not key:
        raise ConfigurationError(f"Table {table!r} has no key; name the columns that identify a row.")
    _require_different(f"columns of table {table!r}", [column.name for column in columns])
    _require_columns(table, "key", key, columns)


def _require_different(what: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"Several {what} have the name {twice[0]!r}; give each a name of its own.")


def _require_columns(table: str, what: str, names: tuple[str, ...], columns: tuple[Column, ...]) -> None:
    known = [column.name for column in columns]
    if missing := [name for name in names if name not in known]:
        raise ConfigurationError(f"Table {table!r} lacks {missing}, named as its {what}; its columns are {known}.")
