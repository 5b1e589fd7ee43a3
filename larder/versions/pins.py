"""Which version of a table a retrieval reads."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings, load_settings
from larder.versions.lock_file import PinnedTable, read_lock_file

CHECKOUT = "data.checkout"
"""In the state folder while `larder data checkout` is in force: the pins that retrievals read."""

_pins: ContextVar[Mapping[str, int] | None] = ContextVar("larder_table_versions", default=None)


@contextmanager
def table_versions(versions: Mapping[str, int]) -> Iterator[None]:
    """Let every retrieval that is made inside read exactly these versions: table -> Delta version.

    Tables are named relative to the lake or by their folder or URI, as a retrieval's job reports them. A retrieval
    of a table that is not named, or whose DeltaSource pins another version, raises ConfigurationError. A job keeps
    its versions when it is computed later. Inside another `table_versions` only the inner one counts.
    """
    wrong = {name: version for name, version in versions.items() if type(version) is not int or version < 0}
    if wrong:
        raise ConfigurationError(f"{wrong} are no Delta versions. A version is a whole number from 0 on.")
    token = _pins.set(dict(versions))
    try:
        yield
    finally:
        _pins.reset(token)


def version_to_read(table: str, *, lake: str, version: int | None = None, near: Path | None = None) -> int | None:
    """The version of `table` (folder or URI) that a retrieval reads; None means the latest.

    That of `table_versions` where it is in force, else `version`, which is what the table's definition pins, else
    that of `larder data checkout` in the project at or above `near`, by default the current folder.
    Raises ConfigurationError when the first lacks the table or contradicts the second.
    """
    pins = _pins.get()
    if pins is None:
        return _checked_out(table, near) if version is None else version
    pinned = {place_of(name, lake): number for name, number in pins.items()}.get(_plain(table))
    if pinned is None:
        raise ConfigurationError(
            f"The retrieval reads {table}, but table_versions names only {sorted(pins)}. Name a version for it, too; "
            "where a training set is rebuilt, its feature service has changed since: check out the commit that its run "
            "names."
        )
    if version is not None and version != pinned:
        raise ConfigurationError(
            f"table_versions asks for version {pinned} of {table}, but its DeltaSource pins version {version}. "
            "Make the two agree, or take the pin out of the definition."
        )
    return pinned


def require_unpinned(place: str) -> None:
    """Raise ConfigurationError when `table_versions` is in force: `place` holds files without versions."""
    if _pins.get() is not None:
        raise ConfigurationError(
            f"The retrieval reads {place}, which are Parquet files; they have no versions, so table_versions cannot "
            "pin them. Keep the rows in a Delta table."
        )


def place_of(name: str, lake: str) -> str:
    """Folder or URI of a table that is named relative to the lake, or is one already."""
    return _plain(name if "://" in name or name.startswith("/") else f"{_plain(lake)}/{name}")


def name_of(place: str, lake: str) -> str:
    """The table's name relative to the lake, else its place."""
    return _plain(place).removeprefix(_plain(lake) + "/")


def checkout_file(settings: Settings) -> Path:
    return settings.state / CHECKOUT


def checked_out(settings: Settings) -> dict[str, PinnedTable]:
    """The pins in force, by table; empty when everything reads the latest."""
    path = checkout_file(settings)
    return read_lock_file(path) if path.is_file() else {}


def _checked_out(table: str, near: Path | None) -> int | None:
    settings = load_settings(near=near)
    pins = {place_of(name, settings.lake): pin.version for name, pin in checked_out(settings).items()}
    return pins.get(_plain(table))


def _plain(place: str) -> str:
    return place.rstrip("/")
