"""CSV files as they come: whether they are whole, and what they hold."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.contracts.ingestion import BRONZE_COLUMNS, RawTable


@dataclass(frozen=True)
class Contents:
    """Of a whole raw file."""

    columns: tuple[str, ...]
    has_rows: bool


def csv_contents(path: Path, table: RawTable) -> Contents:
    """Raises InvalidDataError or MissingColumnsError, about "the file", for one that is damaged or is another one."""
    header = _header(path, table)
    return Contents(header, _has_rows(path, table, header))


def check_names(found: Sequence[str], needed: Iterable[str], *, where: str, remedy: str) -> None:
    """Raise MissingColumnsError for a needed column that was not found, InvalidDataError for names that are no use."""
    missing = [name for name in needed if name not in found]
    if missing:
        raise MissingColumnsError(
            f"lacks the columns {missing}; {where} {list(found)}. {remedy}, or change what its raw table declares."
        )
    doubtful = [name for name in found if found.count(name) > 1 or name in BRONZE_COLUMNS or not name.strip()]
    if doubtful:
        raise InvalidDataError(f"names the columns {doubtful} twice, reserved or empty; give each column its own name.")


def _header(path: Path, table: RawTable) -> tuple[str, ...]:
    with open(path, "rb") as raw:
        if b"\0" in raw.readline():
            raise InvalidDataError("is no UTF-8: its first line holds zero bytes, as UTF-16 has; save it as UTF-8.")
    # The inspection that follows says where bytes cannot be decoded.
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader(file, delimiter=table.separator), None)
    if header is None:
        raise InvalidDataError("is empty; it needs at least a header.")
    check_names(
        header,
        [column.name for column in table.columns],
        where=f"as CSV with {table.separator!r} between values its first line has",
        remedy="Restore the header, save the file as such CSV",
    )
    return tuple(header)


def _has_rows(path: Path, table: RawTable, header: Sequence[str]) -> bool:
    """Whether a line follows the header. Raises InvalidDataError for a damaged file."""
    quotes, number, line = 0, 0, b""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            quotes += line.count(b'"')
            try:
                line.decode()
            except UnicodeDecodeError as problem:
                column = _column_at(line[: problem.start], table, header)
                raise InvalidDataError(
                    f"holds bytes that are no UTF-8 in line {number}, column {column}; save it as UTF-8."
                ) from None
    is_ended = line.endswith((b"\n", b"\r"))
    if quotes % 2 or not is_ended:
        fields = _last_row(path, table)
        if not is_ended and (table.final_newline or len(fields) < len(header)):
            column = _column_at(line, table, header)
            raise InvalidDataError(
                f"ends within line {number}, column {column}; it is cut off. Deliver it again, or end its last line."
            )
    # Lines may also end in a carriage return alone; then all of them are one line here.
    return number > 1 or b"\r" in line.rstrip(b"\r\n")


def _last_row(path: Path, table: RawTable) -> list[str]:
    """Fields of the last row. Raises InvalidDataError when the quotes do not match up to there.

    Reads the whole file once more, so it is only for those that look odd: a quote inside an unquoted text (19")
    is no more than itself, which counting quotes cannot tell.
    """
    row: list[str] = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=table.separator, strict=True)
        try:
            for row in rows:  # noqa: B007 - the last one counts
                pass
        except csv.Error as problem:
            raise InvalidDataError(
                f"holds a quoted text that never ends or is not followed by {table.separator!r} "
                f"(seen in line {rows.line_num}: {problem}). It is cut off, or quotes within a text are not doubled."
            ) from None
    return row


def _column_at(line: bytes, table: RawTable, header: Sequence[str]) -> str:
    """Name of the column in which the text `line` ends."""
    fields = next(csv.reader([line.decode(errors="replace")], delimiter=table.separator), [])
    position = max(len(fields), 1) - 1
    return repr(header[position]) if position < len(header) else f"number {position + 1}"
