"""The files of a Delta log that make up one version, and what is wrong with them.

Delta's libraries refuse much damage, but not all: delta-rs passes over an empty commit file or a commit that
was cut off at the end of a line, and the rows of that commit are gone without a word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
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


class _Action(msgspec.Struct):
    commitInfo: _Commit | None = None  # noqa: N815
    add: Any = None


def list_log(uri: str) -> Log:
    """One listing of the log of the table at `uri`, a folder or an object-store URI; empty where there is none."""
    try:
        folder = PyFileSystem(DeltaStorageHandler(uri))
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


def lost_files(commit: bytes) -> Iterator[str]:
    """What a commit file that readers accept has lost: nothing, or one sentence.

    A plain write says in its metrics how many files it added.
    """
    try:
        actions = [msgspec.json.decode(line, type=_Action) for line in commit.splitlines() if line.strip()]
    except msgspec.DecodeError as problem:
        yield f"is no Delta commit ({problem})"
        return
    added = sum(action.add is not None for action in actions)
    infos = [action.commitInfo for action in actions if action.commitInfo]
    for info in infos:
        is_plain = info.operation == "WRITE" and info.operationParameters.get("mode") in ("Append", "ErrorIfExists")
        declared = int(info.operationMetrics.get("num_added_files", info.operationMetrics.get("numFiles", 0)))
        if is_plain and added < declared:
            yield f"lists {added} of the {declared} files that it says it added"
