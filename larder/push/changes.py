"""What the log of a Delta table says about its rows between two versions: which files came, and which went."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

from larder.contracts.errors import InvalidDataError
from larder.offline.history import History

Files = Mapping[str, int]
"""Bytes by path, as the file system writes it."""


@dataclass(frozen=True)
class Changes:
    """From one version, which is left out, to another."""

    added: frozenset[str] = frozenset()
    """Paths of files with new rows."""
    rewritten: frozenset[str] = frozenset()
    """Paths of files with rows that were there before (OPTIMIZE), new ones perhaps among them."""
    removed: Mapping[int, Files] = field(default_factory=dict)
    """Files whose rows were taken away or changed, by a version that still has them."""
    loss: str = ""
    """What took rows away, in words; empty when all that was there still is."""
    unknown: str = ""
    """Why the log does not tell which rows went, in words; empty when it does."""


class _File(msgspec.Struct):
    path: str
    dataChange: bool = True  # noqa: N815 - Delta's names
    size: int | None = None
    deletionVector: Any = None  # noqa: N815


class _Info(msgspec.Struct):
    operation: str = "a commit"


class _Action(msgspec.Struct):
    add: _File | None = None
    remove: _File | None = None
    metaData: dict[str, Any] | None = None  # noqa: N815
    commitInfo: _Info | None = None  # noqa: N815


def changes_since(history: History, since: int) -> Changes:
    """What happened to the table after version `since`, up to the version of `history`; reads these commits only."""
    log = pafs.PyFileSystem(DeltaStorageHandler(history.table, dict(history.storage_options)))
    added: set[str] = set()
    rewritten: set[str] = set()
    removed: dict[int, dict[str, int]] = {}
    loss, came = "", set[str]()
    for version in range(since + 1, (history.version or 0) + 1):
        try:
            actions = list(_actions(log, version))
        except FileNotFoundError:
            return Changes(unknown=f"the log no longer tells what version {version} did")
        operation = next((action.commitInfo.operation for action in actions if action.commitInfo), "a commit")
        if any(action.metaData for action in actions):
            return Changes(unknown=f"{operation} in version {version} changed the table's schema or properties")
        for file in (action.remove for action in actions if action.remove and action.remove.dataChange):
            loss = f"{operation} in version {version} took rows away"
            if file.deletionVector:
                return Changes(unknown=loss)
            path = unquote(file.path)
            # Opening a version takes time: most files can be read at the same one.
            removed.setdefault(version - 1 if path in came else since, {})[path] = file.size or 0
            added.discard(path)
        for file in (action.add for action in actions if action.add):
            came.add(unquote(file.path))
            (added if file.dataChange else rewritten).add(unquote(file.path))
    return Changes(frozenset(added), frozenset(rewritten), removed, loss)


def _actions(log: pafs.FileSystem, version: int) -> Iterator[_Action]:
    path = f"_delta_log/{version:020}.json"
    with log.open_input_file(path) as file:
        content: bytes = file.read()
    try:
        for line in content.splitlines():
            if line.strip():
                yield msgspec.json.decode(line, type=_Action)
    except msgspec.DecodeError as problem:
        raise InvalidDataError(f"{path} is no Delta commit ({problem}). Restore the file from a backup.") from problem
