"""`data.lock`: the versions of Delta tables as a small text file for git."""

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.whole_file import write_whole

LOCK_FILE = "data.lock"
"""Name in the project's home."""

_HEADER = "# Versions of Delta tables, written by `larder data pin`. Keep it in git; `larder data --help` explains.\n"

Count = Annotated[int, msgspec.Meta(ge=0)]


class PinnedTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version of a table, with enough to see what it holds and that it is still the same table."""

    version: Count
    bytes: Count
    """Of its data files."""
    schema: str
    """Fingerprint of column names, types and nullability."""
    committed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    """Instant at which the version was written, UTC."""
    table_id: str
    """Delta's own id, which a table that is deleted and written anew does not keep."""
    rows: Count | None = None
    """None where the table's log does not count them."""


class _LockFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal[1]
    tables: dict[str, PinnedTable] = {}


def encoded(pins: Mapping[str, PinnedTable]) -> str:
    """TOML with one section per table, sorted, one fact per line, so that git merges and shows changes by table."""
    return _HEADER + "format = 1\n" + "".join(f"\n{_section(name, pins[name])}" for name in sorted(pins))


def decoded(text: str, *, where: str) -> dict[str, PinnedTable]:
    """The pins in `text`. Raises InvalidDataError that says what does not fit and how to mend it."""
    try:
        return msgspec.convert(tomllib.loads(text), _LockFile).tables
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as problem:
        merge = " It holds the marks of an unfinished git merge." if "<<<<<<<" in text else ""
        raise InvalidDataError(
            f"{where} is no list of pinned tables: {problem}.{merge} Take it from git again "
            f"(`git checkout {LOCK_FILE}`), or write it anew with `larder data pin`."
        ) from None


def read_lock_file(path: Path) -> dict[str, PinnedTable]:
    """Raises MissingTableError when there is no such file, InvalidDataError when it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingTableError(f"There is no {path}. Write it with `larder data pin`.") from None
    except UnicodeDecodeError as problem:
        raise InvalidDataError(f"{path} is no text ({problem}). Take it from git again.") from None
    return decoded(text, where=str(path))


def write_lock_file(path: Path, pins: Mapping[str, PinnedTable]) -> None:
    """Write the file whole or not at all."""
    write_whole(path, encoded(pins).encode())


def _section(name: str, pin: PinnedTable) -> str:
    lines = [f"[tables.{_quoted(name)}]", f"version = {pin.version}"]
    lines += [] if pin.rows is None else [f"rows = {pin.rows}"]
    lines += [f"bytes = {pin.bytes}", f"schema = {_quoted(pin.schema)}"]
    lines += [f"committed_at = {pin.committed_at.astimezone(UTC).isoformat()}", f"table_id = {_quoted(pin.table_id)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML string: JSON's notation, which TOML reads as long as no character is split into surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
