"""The two sides of `larder data diff`: pin files, single versions, or the tables as they are."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.versions.lock_file import LOCK_FILE, PinnedTable, decoded, read_lock_file
from larder.versions.snapshot import table_names

CURRENT = "current"


@dataclass(frozen=True)
class Version:
    """A table's version as a side names it; None for the latest."""

    table: str
    version: int | None
    table_id: str | None = None
    """Delta's id of the table, where the side knows it."""


def sides(settings: Settings, before: str, after: str) -> tuple[dict[str, Version], dict[str, Version]]:
    """The versions that two arguments stand for, by table.

    Each is `data.lock` (the project's), another pin file, `<table>@<version>`, a git revision, whose data.lock is
    meant, or `current`: the tables that the other side names and, when it is a pin file, all others of a local lake.
    """
    if before == after == CURRENT:
        raise ConfigurationError("Both sides are the tables as they are. Name a pin file, a version or a git revision.")
    old, new = (None if text == CURRENT else _side(settings, text) for text in (before, after))
    if old is None:
        return _current(settings, new or {}, after), new or {}
    return old, _current(settings, old, before) if new is None else new


def _current(settings: Settings, other: Mapping[str, Version], text: str) -> dict[str, Version]:
    is_whole_lake = "://" not in settings.lake and "@" not in text
    return {name: Version(name, None) for name in {*other, *(table_names(settings.lake) if is_whole_lake else ())}}


def _side(settings: Settings, text: str) -> dict[str, Version]:
    if text == LOCK_FILE or Path(text).is_file():
        return _versions(read_lock_file(settings.home / LOCK_FILE if text == LOCK_FILE else Path(text)))
    if "@" in text:
        return {version.table: version for version in [table_version(text)]}
    return _versions(decoded(_from_git(settings.home, text), where=f"{LOCK_FILE} of {text}"))


def table_version(text: str) -> Version:
    """`<table>` or `<table>@<version>`."""
    table, separator, number = text.rpartition("@")
    if not separator:
        return Version(text, None)
    if not number.isdecimal():
        raise ConfigurationError(f"{text!r} names no version. Write it as <table>@<number>, for example {table}@3.")
    return Version(table, int(number))


def _versions(pins: Mapping[str, PinnedTable]) -> dict[str, Version]:
    return {name: Version(name, pin.version, pin.table_id) for name, pin in pins.items()}


def _from_git(home: Path, revision: str) -> str:
    command = ["git", "-C", str(home), "show", f"{revision}:./{LOCK_FILE}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError as problem:
        raise ConfigurationError(f"{revision!r} is no file, and git cannot be asked: {problem}.") from None
    if done.returncode != 0:
        raise ConfigurationError(
            f"{revision!r} is neither a pin file, nor <table>@<version>, nor {CURRENT!r}, nor a git revision with a "
            f"{LOCK_FILE} ({done.stderr.strip()})."
        )
    return done.stdout
