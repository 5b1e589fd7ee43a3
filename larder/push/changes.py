"""What the log of a Delta table says about its rows between two versions: which files came, and whether rows went."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

from larder.contracts.errors import InvalidDataError
from larder.offline.history import History


@dataclass(frozen=True)
class Changes:
    """From one version, which is left out, to another."""

    added: frozenset[str] = frozenset()
    """Files with new rows, as the log names them."""
    rewritten: frozenset[str] = frozenset()
    """Files with rows that were there before (OPTIMIZE), new ones perhaps among them."""
    loss: str = ""
    """Why rows may have gone or changed, in words; empty when all that was there still is."""


class _File(msgspec.Struct):
    path: str
    dataChange: bool = True  # noqa: N815 - Delta's names


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
    for version in range(since + 1, (history.version or 0) + 1):
        try:
            actions = list(_actions(log, version))
        except FileNotFoundError:
            return Changes(loss=f"the log no longer tells what version {version} did")
        operation = next((action.commitInfo.operation for action in actions if action.commitInfo), "a commit")
        if any(action.remove and action.remove.dataChange for action in actions):
            return Changes(loss=f"{operation} in version {version} took rows away")
        if any(action.metaData for action in actions):
            return Changes(loss=f"{operation} in version {version} changed the table's schema or properties")
        for file in (action.add for action in actions if action.add):
            (added if file.dataChange else rewritten).add(file.path)
    return Changes(frozenset(added), frozenset(rewritten))


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
