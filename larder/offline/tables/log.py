"""The files of a Delta log that make up one version, and what is wrong with them.

Delta's libraries refuse much damage, but not all: delta-rs passes over an empty commit file or a commit that
was cut off at the end of a line, and the rows of that commit are gone without a word.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from deltalake.exceptions import TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, FileType, PyFileSystem

_NAME = re.compile(r"(\d{20})\.(json|checkpoint(?:\.[^.]+)*\.(?:parquet|json))")


@dataclass(frozen=True)
class LogFile:
    """One file below `_delta_log`."""

    name: str
    version: int
    size: int

    @property
    def is_commit(self) -> bool:
        return self.name == f"{self.version:020}.json"


@dataclass(frozen=True)
class Log:
    """What a listing of a `_delta_log` shows."""

    files: tuple[LogFile, ...]

    @property
    def newest(self) -> int | None:
        """The last version that a commit or a checkpoint names."""
        return max((file.version for file in self.files), default=None)

    def parts(self, version: int) -> list[LogFile]:
        """The files that a reader of `version` needs: the last checkpoint up to it and the commits since."""
        start = max((file.version for file in self.files if not file.is_commit and file.version <= version), default=-1)
        needed = [file for file in self.files if start <= file.version <= version]
        return sorted(
            (file for file in needed if not file.is_commit or file.version > start), key=lambda file: file.version
        )


class _Commit(msgspec.Struct):
    operation: str = ""
    operationParameters: dict[str, Any] = {}  # noqa: N815 - Delta's names
    operationMetrics: dict[str, Any] = {}  # noqa: N815


class _Stats(msgspec.Struct):
    numRecords: int | None = None  # noqa: N815


class _Add(msgspec.Struct):
    stats: str | None = None


class _Action(msgspec.Struct):
    commitInfo: _Commit | None = None  # noqa: N815
    add: _Add | None = None


def list_log(uri: str, options: Mapping[str, str] | None = None) -> Log:
    """One listing of the log of the table at `uri`, a folder or an object-store URI; empty where there is none."""
    if Path(uri).is_file():  # deltalake speaks of a directory that cannot be walked
        return Log(())
    try:
        folder = PyFileSystem(DeltaStorageHandler(uri, dict(options or {})))
    except TableNotFoundError:
        return Log(())
    files = folder.get_file_info(FileSelector("_delta_log", allow_not_found=True))
    found = ((_NAME.fullmatch(file.base_name), file) for file in files if file.type == FileType.File)
    return Log(tuple(LogFile(file.base_name, int(name[1]), file.size) for name, file in found if name))


def listed_damage(log: Log, version: int) -> str | None:
    """What a listing shows to be wrong with the files of `version`; None when it shows nothing."""
    parts = log.parts(version)
    for file in parts:
        if not file.size:
            return f"_delta_log/{file.name} is empty"
    commits = {file.version for file in parts if file.is_commit}
    first = next((file.version + 1 for file in parts if not file.is_commit), 0)
    missing = next((number for number in range(first, version + 1) if number not in commits), None)
    return None if missing is None else f"_delta_log/{missing:020}.json is missing"


def lost_rows(commit: bytes) -> str | None:
    """What a commit file that readers accept has lost, in words that follow its name; None for nothing.

    A plain write says in its metrics how many rows it added, and its files say how many they hold. (Files do not
    do for this: Spark counts those without rows, too, which it then leaves out.)
    """
    try:
        actions = [msgspec.json.decode(line, type=_Action) for line in commit.splitlines() if line.strip()]
        held = [_rows(action.add) for action in actions if action.add]
    except msgspec.DecodeError as problem:
        return f"is no Delta commit ({problem})"
    for info in (action.commitInfo for action in actions if action.commitInfo):
        mode = info.operationParameters.get("mode")
        is_plain = info.operation in ("WRITE", "CREATE TABLE") and mode in ("Append", "ErrorIfExists")
        added = int(info.operationMetrics.get("num_added_rows", info.operationMetrics.get("numOutputRows", 0)))
        known = sum(rows for rows in held if rows is not None)
        if is_plain and known < added and None not in held:
            return f"lists files with {known} of the {added} rows that it says it added"
    return None


def _rows(add: _Add) -> int | None:
    """Rows of a file; None where its writer kept no statistics."""
    return msgspec.json.decode(add.stats, type=_Stats).numRecords if add.stats else None
