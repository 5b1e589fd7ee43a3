"""The ledger's file: one line of JSON per entry, appended under a lock and on disk before the call returns.

Beside it lies its head: number and hash of the newest entry, so that a ledger cut at its end is noticed too.
"""

import fcntl
import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from larder.contracts.errors import InvalidDataError
from larder.contracts.settings import Settings
from larder.ledger.entry import GENESIS, Act, Entry, chain_problem, decoded, encoded, sealed

NAME = "ledger.jsonl"


class Head(msgspec.Struct, frozen=True):
    number: int
    hash: str


@dataclass(frozen=True)
class Ledger:
    """Append-only. Processes on one machine may append at the same time."""

    path: Path
    actor: str

    def append(
        self,
        act: Act,
        subject: str,
        *,
        at: datetime,
        reason: str,
        inputs: Mapping[str, Any] | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Record one act; it is on disk when this returns. Raises InvalidDataError when the last entry was damaged."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            last = self._last()
            entry = sealed(
                Entry(
                    number=1 if last is None else last.number + 1,
                    at=at.astimezone(UTC),
                    act=act,
                    subject=subject,
                    actor=self.actor,
                    reason=reason,
                    inputs=msgspec.to_builtins(dict(inputs or {})),
                    outcome=msgspec.to_builtins(dict(outcome or {})),
                    previous=GENESIS if last is None else last.hash,
                )
            )
            if self._head() is None and last is None:
                self._write_head(Head(0, GENESIS))  # a kill before the first entry's head must not look like an edit
            with open(self.path, "ab") as file:
                file.write(encoded(entry) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._write_head(Head(entry.number, entry.hash))
        return entry

    def entries(self, *, subject: str | None = None, acts: tuple[Act, ...] = ()) -> list[Entry]:
        """In order; those of `subject` (a model's name takes in its versions) and of `acts`, where given.

        Raises InvalidDataError for a line that is no entry. The chain is not checked; `problem` does.
        """
        return [
            entry
            for entry in self._read()
            if (subject is None or entry.subject == subject or entry.subject.rpartition("/")[0] == subject)
            and (not acts or entry.act in acts)
        ]

    def problem(self) -> str | None:
        """Why the ledger cannot be trusted; None when every entry is as it was written and none is missing."""
        try:
            entries = list(self._read())
            head = self._head()
        except InvalidDataError as problem:
            return str(problem)
        if found := chain_problem(entries):
            return found
        if head is None:
            return "The ledger has entries, but its head is missing: it was copied or removed." if entries else None
        if len(entries) < head.number:
            return f"The ledger ends with entry {len(entries)}, but entry {head.number} was written: it was cut."
        if head.number and entries[head.number - 1].hash != head.hash:
            return f"Entry {head.number} is not the one that was written: the ledger was rebuilt."
        return None

    def _read(self) -> Iterator[Entry]:
        if not self.path.is_file():
            return
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return  # an append that a kill cut off; its caller never heard that it was recorded
                try:
                    yield decoded(line)
                except msgspec.DecodeError as problem:
                    raise InvalidDataError(
                        f"Line {number} of {self.path} is no ledger entry ({problem}): it was changed. Restore it."
                    ) from None

    def _last(self) -> Entry | None:
        """The newest whole entry; what a kill left half-written behind it is removed."""
        if not self.path.is_file():
            return None
        last, whole = None, 0
        with open(self.path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    last, whole = line, whole + len(line)
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        if last is None:
            return None
        try:
            return decoded(last)
        except msgspec.DecodeError as problem:
            raise InvalidDataError(
                f"The last line of {self.path} is no ledger entry ({problem}), so nothing can follow it. Restore it."
            ) from None

    def _head(self) -> Head | None:
        path = self._head_path()
        if not path.is_file():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Head)
        except msgspec.DecodeError as problem:
            raise InvalidDataError(f"{path} is damaged: {problem}.") from None

    def _write_head(self, head: Head) -> None:
        path = self._head_path()
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            file.write(msgspec.json.encode(head))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def _head_path(self) -> Path:
        return self.path.with_suffix(".head")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def ledger_of(settings: Settings, *, actor: str = "") -> Ledger:
    """The project's ledger; `actor` by default is the user on this host."""
    return Ledger(settings.state / NAME, actor or _user())


def _user() -> str:
    name = "unknown"
    with suppress(OSError, KeyError):  # a container may run under a number without a name
        name = getpass.getuser()
    return f"{name}@{socket.gethostname()}"
