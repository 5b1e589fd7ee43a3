"""Raw files: which there are, whether they are whole, and a plain copy that Spark can read."""

import gzip
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from larder.contracts.errors import ConfigurationError, InvalidDataError, LarderError
from larder.contracts.ingestion import Ingestion, RawTable
from larder.contracts.settings import Settings
from pipelines.csv_file import Contents, csv_contents
from pipelines.json_lines import json_lines_to_csv
from pipelines.parquet_file import parquet_to_csv

_PACKED = (".zip", ".gz")
_TO_CSV = {".parquet": parquet_to_csv, ".jsonl": json_lines_to_csv, ".ndjson": json_lines_to_csv}
"""By the end of the name; a file with any other is CSV itself."""
_NO_TABLE = ""


@dataclass(frozen=True)
class RawFile:
    """A whole file: it can be decoded, it has the declared columns, and it is not cut off."""

    name: str
    """Path below the raw folder, or the path as given."""
    columns: tuple[str, ...]
    """Names of all columns, in their order."""
    content_hash: str
    """SHA-256 of the unpacked content: the file's identity, whatever it is called."""
    has_rows: bool
    staged: Path
    """`<staging>/<content hash>.csv`, unpacked, whatever the file came as."""


@dataclass(frozen=True)
class RefusedFile:
    """A file of which nothing was taken, and why."""

    table: str
    name: str
    reason: str


@dataclass(frozen=True)
class RawFolder:
    """The files of a raw folder, sorted by path."""

    by_table: dict[str, list[Path]]
    """By the table whose pattern they match."""
    others: list[Path]
    """Relative to the folder, those that match none: a misspelt name would go unnoticed."""


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


def raw_folder(folder: Path, tables: Sequence[RawTable]) -> RawFolder:
    """The files below `folder`, found in one walk; those that begin with a dot are not looked at."""
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder} with raw files. Create it, or name files to ingest.")
    found = _by_table((path for path in sorted(folder.rglob("*")) if _is_visible(path)), tables)
    others = [path.relative_to(folder) for path in found.pop(_NO_TABLE, [])]
    return RawFolder(found, others)


def raw_paths(folder: Path, tables: Sequence[RawTable]) -> dict[str, list[Path]]:
    """Files below `folder` by the table whose pattern they match, sorted by path; others are left out."""
    return raw_folder(folder, tables).by_table


def listing_hash(paths: Mapping[str, Sequence[Path]]) -> str:
    """Names, sizes and times of the files as one hash, without a look into them; empty when there is none."""
    found = sorted((path, path.stat()) for group in paths.values() for path in group)
    listing = "".join(f"{path}\n{status.st_size}\n{status.st_mtime_ns}\n" for path, status in found)
    return hashlib.sha256(listing.encode()).hexdigest() if found else ""


def given_paths(paths: Sequence[Path], tables: Sequence[RawTable]) -> dict[str, list[Path]]:
    """The named files by table. Raises ConfigurationError for a file that is absent or matches no table."""
    for path in paths:
        if not path.is_file():
            raise ConfigurationError(f"There is no file {path}. Check the path.")
        if _table_of(path, tables) == _NO_TABLE:
            raise ConfigurationError(
                f"{path.name} matches no raw table; the patterns are {patterns(tables)}. Rename the file."
            )
    return _by_table(paths, tables)


def patterns(tables: Sequence[RawTable]) -> str:
    """The tables' file names, for people."""
    return ", ".join(f"{table.files} ({table.name})" for table in tables)


def checked_file(path: Path, table: RawTable, *, root: Path, staging: Path) -> RawFile | RefusedFile:
    """Unpack and inspect one file; `root` shortens its name, `staging` is an existing folder."""
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    unpacked = staging / f".unpacked-{path.name}"
    try:
        _unpack(path, unpacked)
        with open(unpacked, "rb") as file:
            content_hash = hashlib.file_digest(file, "sha256").hexdigest()
        staged = staging / f"{content_hash}.csv"
        contents = _stage(unpacked, table, staged, suffix=_plain(path).suffix)
    except (LarderError, OSError, UnicodeDecodeError, pa.ArrowException) as problem:
        return RefusedFile(table.name, name, f"{name} {_sentence(problem)}")
    finally:
        unpacked.unlink(missing_ok=True)
    return RawFile(name, contents.columns, content_hash, contents.has_rows, staged)


def _is_visible(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _by_table(paths: Iterable[Path], tables: Sequence[RawTable]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {table.name: [] for table in tables}
    for path in paths:
        found.setdefault(_table_of(path, tables), []).append(path)
    return found


def _table_of(path: Path, tables: Sequence[RawTable]) -> str:
    return next((table.name for table in tables if _plain(path).match(table.files)), _NO_TABLE)


def _plain(path: Path) -> Path:
    """The path without what packing adds to its name."""
    return path.with_suffix("") if path.suffix in _PACKED else path


def _stage(unpacked: Path, table: RawTable, staged: Path, *, suffix: str) -> Contents:
    if suffix in _TO_CSV:
        return _TO_CSV[suffix](unpacked, table, staged)
    contents = csv_contents(unpacked, table)
    os.replace(unpacked, staged)
    return contents


def _unpack(path: Path, target: Path) -> None:
    if path.suffix not in _PACKED:
        target.unlink(missing_ok=True)
        target.symlink_to(path.absolute())
        return
    try:
        with _content(path) as source, open(target, "wb") as plain:
            shutil.copyfileobj(source, plain)
    except LarderError:
        raise
    except Exception as problem:  # of a damaged archive zipfile raises nearly anything, also IndexError
        raise InvalidDataError(_sentence(problem)) from problem


@contextmanager
def _content(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if path.suffix == ".gz":
        with gzip.open(path) as source:
            yield source
        return
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise InvalidDataError(f"holds {len(members)} files; pack each raw file by itself.")
        with archive.open(members[0]) as source:
            yield source


def _sentence(problem: Exception) -> str:
    if isinstance(problem, LarderError):
        return str(problem)
    if isinstance(problem, RuntimeError):  # so zipfile tells of a password, or of a compression that it does not know
        return f"cannot be unpacked ({problem}). Pack it with deflate and without a password, or as .gz."
    return f"cannot be unpacked or read ({problem}); it is damaged or cut off. Deliver it again."
