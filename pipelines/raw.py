"""Raw files: which there are, whether they are whole, and a plain copy that Spark can read."""

import csv
import gzip
import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from larder.contracts.errors import ConfigurationError, InvalidDataError, LarderError, MissingColumnsError
from larder.contracts.ingestion import BRONZE_COLUMNS, Ingestion, RawTable
from larder.contracts.settings import Settings

_PACKED = (".zip", ".gz")


@dataclass(frozen=True)
class RawFile:
    """A whole file: it can be decoded, it has the declared columns, and it is not cut off."""

    name: str
    """Path below the raw folder, or the path as given."""
    columns: tuple[str, ...]
    """The header."""
    content_hash: str
    """SHA-256 of the unpacked content: the file's identity, whatever it is called."""
    has_rows: bool
    staged: Path
    """`<staging>/<content hash>.csv`, unpacked."""


@dataclass(frozen=True)
class RefusedFile:
    """A file of which nothing was taken, and why."""

    table: str
    name: str
    reason: str


def provide_example(ingestion: Ingestion, settings: Settings) -> None:
    """Copy the use case's example files to `settings.raw`, all or none, when that folder is absent or empty."""
    if ingestion.example is None or (settings.raw.is_dir() and any(settings.raw.iterdir())):
        return
    settings.raw.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".raw-", dir=settings.raw.parent))
    try:
        for path in ingestion.example():
            shutil.copyfile(path, partial / path.name)
        os.replace(partial, settings.raw)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def raw_paths(folder: Path, tables: Sequence[RawTable]) -> dict[str, list[Path]]:
    """Files below `folder` by the table whose pattern they match, sorted by path; others are left out."""
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder} with raw files. Create it, or name files to ingest.")
    return _by_table((path for path in _visible(folder) if _table_of(path, tables)), tables)


def other_paths(folder: Path, tables: Sequence[RawTable]) -> list[Path]:
    """Files below `folder`, relative to it, that `raw_paths` leaves out: a misspelt name would go unnoticed."""
    return [path.relative_to(folder) for path in _visible(folder) if not _table_of(path, tables)]


def given_paths(paths: Sequence[Path], tables: Sequence[RawTable]) -> dict[str, list[Path]]:
    """The named files by table. Raises ConfigurationError for a file that is absent or matches no table."""
    for path in paths:
        if not path.is_file():
            raise ConfigurationError(f"There is no file {path}. Check the path.")
        if not _table_of(path, tables):
            raise ConfigurationError(
                f"{path.name} matches no raw table; the patterns are {patterns(tables)}. Rename the file."
            )
    return _by_table(iter(paths), tables)


def patterns(tables: Sequence[RawTable]) -> str:
    """The tables' file names, for people."""
    return ", ".join(f"{table.files} ({table.name})" for table in tables)


def checked_file(path: Path, table: RawTable, *, root: Path, staging: Path) -> RawFile | RefusedFile:
    """Unpack and inspect one file; `root` shortens its name, `staging` is an existing folder."""
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    partial = staging / f".partial-{path.name}"
    try:
        _unpack(path, partial)
        header = _header(partial, table)
        content_hash, has_rows = _inspect(partial, table, header)
    except (LarderError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as problem:
        partial.unlink(missing_ok=True)
        return RefusedFile(table.name, name, f"{name} {_sentence(problem)}")
    staged = staging / f"{content_hash}.csv"
    os.replace(partial, staged)
    return RawFile(name, header, content_hash, has_rows, staged)


def _visible(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]


def _by_table(paths: Iterator[Path], tables: Sequence[RawTable]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {table.name: [] for table in tables}
    for path in paths:
        found[_table_of(path, tables)].append(path)
    return found


def _table_of(path: Path, tables: Sequence[RawTable]) -> str:
    name = path.stem if path.suffix in _PACKED else path.name
    return next((table.name for table in tables if fnmatchcase(name, table.files)), "")


def _unpack(path: Path, target: Path) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise InvalidDataError(f"holds {len(members)} files; pack each raw file by itself.")
            with archive.open(members[0]) as source, open(target, "wb") as plain:
                shutil.copyfileobj(source, plain)
    elif path.suffix == ".gz":
        with gzip.open(path) as source, open(target, "wb") as plain:
            shutil.copyfileobj(source, plain)
    else:
        target.unlink(missing_ok=True)
        target.symlink_to(path.absolute())


def _header(path: Path, table: RawTable) -> tuple[str, ...]:
    # The inspection that follows says where bytes cannot be decoded.
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader(file, delimiter=table.separator), None)
    if header is None:
        raise InvalidDataError("is empty; it needs at least a header.")
    names = [column.name for column in table.columns]
    missing = [name for name in names if name not in header]
    if missing:
        raise MissingColumnsError(
            f"lacks the columns {missing}; as CSV with {table.separator!r} between values its first line has {header}. "
            "Restore the header, save the file as such CSV, or change what its raw table declares."
        )
    doubtful = [name for name in header if header.count(name) > 1 or name in BRONZE_COLUMNS or not name.strip()]
    if doubtful:
        raise InvalidDataError(f"names the columns {doubtful} twice, reserved or empty; give each column its own name.")
    return tuple(header)


def _inspect(path: Path, table: RawTable, header: Sequence[str]) -> tuple[str, bool]:
    """Content hash, and whether a line follows the header. Raises InvalidDataError for a damaged file."""
    digest, quotes, number, line = hashlib.sha256(), 0, 0, b""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            digest.update(line)
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
    return digest.hexdigest(), number > 1 or b"\r" in line.rstrip(b"\r\n")


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


def _sentence(problem: Exception) -> str:
    if isinstance(problem, LarderError):
        return str(problem)
    return f"cannot be unpacked or read ({problem}); it is damaged or cut off. Deliver it again."
