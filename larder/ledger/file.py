"""The ledger's file: one line of JSON per entry, appended under a lock and on disk before the call returns.

Beside it lies its head: number and hash of the newest entry, so that a ledger cut at its end is noticed too.
"""

import fcntl
import os
import pwd
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from larder.contracts.errors import DependencyError, InvalidDataError
from larder.contracts.settings import Settings
from larder.ledger.entry import Act, Entry, chain_problem, decoded, encoded, sealed
from larder.ledger.head import NOTHING, Head, LastLine, last_line, read_head, write_head

NAME = "ledger.jsonl"


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
        """Record one act; it is on disk when this returns. The cost does not grow with the ledger.

        Raises InvalidDataError when what is there was damaged, cut or rebuilt, so that nothing can follow it, and
        DependencyError when the file cannot be written.
        """
        with self._opened() as (last, head):
            entry = sealed(
                Entry(
                    number=head.number + 1,
                    at=at.astimezone(UTC),
                    act=act,
                    subject=subject,
                    actor=self.actor,
                    reason=reason,
                    inputs=msgspec.to_builtins(dict(inputs or {})),
                    outcome=msgspec.to_builtins(dict(outcome or {})),
                    previous=head.hash,
                )
            )
            with open(self.path, "ab") as file:
                file.truncate(0 if last is None else last.end)
                file.write(encoded(entry) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            write_head(self._head_path, Head(entry.number, entry.hash))
        return entry

    def require_writable(self) -> None:
        """For a step to call before its act: raises what `append` would."""
        with self._opened() as (_, head):
            write_head(self._head_path, head)

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
            head = read_head(self._head_path)  # first: entries that are appended meanwhile only add to it
            entries = list(self._read())
        except InvalidDataError as problem:
            return str(problem)
        if found := chain_problem(entries):
            return found
        if head is None:
            return "The ledger has entries, but its head is missing: it was copied or removed." if entries else None
        if len(entries) < head.number:
            return f"The ledger ends with entry {len(entries)}, but entry {head.number} was written: it was cut."
        if head.number > 0 and entries[head.number - 1].hash != head.hash:
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
                    yield decoded(line[:-1])
                except msgspec.DecodeError as problem:
                    raise InvalidDataError(
                        f"Line {number} of {self.path} is no ledger entry ({problem}): it was changed. Restore it."
                    ) from None

    @contextmanager
    def _opened(self) -> Iterator[tuple[LastLine | None, Head]]:
        """Alone with the file, whose end was checked: its last line, and the entry there that the next one follows."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                last = last_line(self.path)
                yield last, self._checked(last)
        except OSError as problem:
            raise DependencyError(
                f"The ledger {self.path} cannot be written ({problem}), and nothing may be done that it does not "
                "record. Free some space, or let this user write there, then run the same command again."
            ) from problem

    def _checked(self, last: LastLine | None) -> Head:
        """Raises InvalidDataError when the last line is not where the ledger was left."""
        head = read_head(self._head_path)
        if head is None and last is None:
            write_head(self._head_path, NOTHING)  # so that a head which is missing later was removed
            return NOTHING
        newest = NOTHING if last is None else self._newest(last)
        # Elsewhere than at its head a ledger stands after a kill between the two writes, and after an edit.
        if newest != head and (found := self.problem()):
            raise InvalidDataError(f"{found} Nothing can follow it: restore {self.path} and what lies beside it.")
        return newest

    def _newest(self, last: LastLine) -> Head:
        try:
            entry = decoded(last.text)
        except msgspec.DecodeError as problem:
            raise InvalidDataError(
                f"The last line of {self.path} is no ledger entry ({problem}), so nothing can follow it. Restore it."
            ) from None
        return Head(entry.number, entry.hash)

    @property
    def _head_path(self) -> Path:
        return self.path.with_suffix(".head")


def ledger_of(settings: Settings, *, actor: str = "") -> Ledger:
    """The project's ledger; `actor` by default is the user on this host."""
    return Ledger(settings.state / NAME, actor or _user())


def _user() -> str:
    """By the account that the process runs under; USER and LOGNAME are whatever somebody set."""
    name = f"user {os.getuid()}"
    with suppress(KeyError):  # a container may run under a number without a name
        name = pwd.getpwuid(os.getuid()).pw_name
    return f"{name}@{socket.gethostname()}"
