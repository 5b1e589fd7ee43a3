"""JSON lines to CSV: bronze keeps raw rows as text, whatever they came as."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from larder.contracts.errors import InvalidDataError
from larder.contracts.ingestion import RawTable
from pipelines.csv_file import Contents, check_names

_EXACT = 2**53
"""Floats below it that are whole are written as whole numbers; JSON does not tell 3 and 3.0 apart."""


def json_lines_to_csv(path: Path, table: RawTable, target: Path) -> Contents:
    """Write the file's objects to `target`, one row each, in their order.

    A key that a line lacks is null there; objects and lists within are JSON. A line that is no object becomes a row
    with too few or too many values, so that it goes to quarantine. Raises InvalidDataError, MissingColumnsError.
    """
    names = _names(path, table)
    with open(target, "w", encoding="utf-8", newline="") as plain:
        writer = csv.writer(plain, delimiter=table.separator, lineterminator="\n")
        writer.writerow(names)
        for line in _lines(path):
            found = _object(line)
            writer.writerow(_misfit(line, len(names)) if found is None else [_text(found.get(name)) for name in names])
    return Contents(names, has_rows=True)


def _names(path: Path, table: RawTable) -> tuple[str, ...]:
    """Keys of all objects in the order in which they turn up. Raises InvalidDataError for a file that is not whole."""
    names: dict[str, None] = {}
    line, found = "", None
    for number, line in enumerate(_lines(path)):
        found = _object(line)
        if found is None and number == 0:
            raise InvalidDataError("does not begin with a JSON object; write one object per line (JSON lines).")
        names |= dict.fromkeys(found or ())
    if not line:
        raise InvalidDataError("is empty; it needs at least one object.")
    if not line.endswith("\n") and (found is None or table.final_newline):
        raise InvalidDataError("ends within its last line; it is cut off. Deliver it again, or end its last line.")
    # Keys whose value is null are often left out: a column that may be null may be absent from all lines.
    optional = {column.name for column in table.columns if column.nullable} - set(table.key)
    needed = [column.name for column in table.columns if column.name not in optional]
    check_names(tuple(names), needed, where="its objects have", remedy="Write them with these")
    return tuple(names | dict.fromkeys(column.name for column in table.columns))


def _lines(path: Path) -> Iterator[str]:
    """Lines that are not blank, with their ends. Raises InvalidDataError where one is no UTF-8."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InvalidDataError(f"holds bytes that are no UTF-8 in line {number}; save it as UTF-8.") from None
            if text.strip():
                yield text


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _misfit(line: str, width: int) -> list[str]:
    return [line.rstrip("\r\n"), *([""] if width == 1 else [])]


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < _EXACT:
            return str(int(value))
        case int() | float():
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()
