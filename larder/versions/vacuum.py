"""VACUUM that leaves what somebody pinned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.contracts.settings import Settings
from larder.model_registry import model_pins
from larder.offline.tables.delta_table import open_table
from larder.versions.files import check_whole
from larder.versions.lock_file import LOCK_FILE, read_lock_file
from larder.versions.pins import CHECKOUT, checked_out, place_of

Holders = Mapping[int, tuple[str, ...]]
"""Version -> who pins it."""


@dataclass(frozen=True)
class Kept:
    """A pinned version."""

    version: int
    holders: tuple[str, ...]
    is_lost: bool
    """Whether the log does not know it any more, so that its files cannot be told from others."""
    trouble: str
    """Why it cannot be read any more, whatever VACUUM does; empty when it can."""


@dataclass(frozen=True)
class Vacuumed:
    """What VACUUM did to one table, or would do."""

    kept: tuple[Kept, ...]
    deleted: tuple[str, ...]
    """Data files, relative to the table."""


def holders(settings: Settings) -> tuple[dict[str, Holders], list[str]]:
    """Who pins which version, by the table's place; and the model versions whose pins are unknown.

    Holders are data.lock, the checkout in force and every registered model version.
    """
    lock = settings.home / LOCK_FILE
    files = {LOCK_FILE: read_lock_file(lock) if lock.is_file() else {}, CHECKOUT: checked_out(settings)}
    pins = {name: {table: pin.version for table, pin in content.items()} for name, content in files.items()}
    models = model_pins(settings)
    pins |= {f"model {found.model}": found.tables for found in models if found.tables is not None}
    held: dict[str, dict[int, tuple[str, ...]]] = {}
    for holder, tables in pins.items():
        for name, version in tables.items():
            versions = held.setdefault(place_of(name, settings.lake), {})
            versions[version] = (*versions.get(version, ()), holder)
    return dict(held), [found.model for found in models if found.tables is None]


def planned(place: str, held: Holders, *, retention_hours: int | None) -> Vacuumed:
    """What `vacuum` would do; nothing is changed.

    Raises InvalidDataError when it would take a file that a pin needs.
    """
    kept = tuple(_kept(place, version, held[version]) for version in sorted(held))
    deleted = _vacuum(place, kept, retention_hours, dry_run=True)
    # A second look, by other means than the planner's own: what VACUUM deletes is gone for good.
    readable = [open_table(place, item.version) for item in kept if not item.is_lost]
    needed = {_file_name(uri) for table in readable for uri in table.file_uris()}
    endangered = [path for path in deleted if _file_name(path) in needed]
    if endangered:
        raise InvalidDataError(
            f"VACUUM of {place} would delete {endangered[0]}, which a pinned version needs; nothing was deleted. "
            "Please report this with the table's log."
        )
    return Vacuumed(kept, deleted)


def vacuum(place: str, held: Holders, *, retention_hours: int | None) -> Vacuumed:
    """Delete the data files that neither the latest version nor one in `held` needs and that left the table before
    `retention_hours` ago (None: what the table says, else a week). Writes two commits to the table.
    """
    plan = planned(place, held, retention_hours=retention_hours)
    if not plan.deleted:
        return plan
    _vacuum(place, plan.kept, retention_hours, dry_run=False)
    return plan


def _vacuum(place: str, kept: Sequence[Kept], retention_hours: int | None, *, dry_run: bool) -> tuple[str, ...]:
    left = open_table(place).vacuum(
        retention_hours,
        dry_run=dry_run,
        # Whoever names the hours has read what fewer than the table's own mean.
        enforce_retention_duration=retention_hours is None,
        keep_versions=_keep(kept),
    )
    # deltalake names what left the table at any time, deleted before or not; an object store is not asked again.
    return tuple(sorted(path for path in left if "://" in place or _exists(Path(place), path)))


def _file_name(path: str) -> str:
    """Unique by itself: every writer of Delta puts a UUID into it."""
    return path.rpartition("/")[2]


def _exists(table: Path, path: str) -> bool:
    return (table / path).exists() or (table / unquote(path)).exists()


def _keep(kept: Sequence[Kept]) -> list[int] | None:
    return [item.version for item in kept if not item.is_lost] or None


def _kept(place: str, version: int, by: tuple[str, ...]) -> Kept:
    try:
        table = open_table(place, version)
    except MissingTableError as problem:
        return Kept(version, by, is_lost=True, trouble=str(problem))
    try:
        check_whole(table)
    except (MissingTableError, InvalidDataError) as problem:
        # What is left of a version keeps being kept: its files may come back from a backup.
        return Kept(version, by, is_lost=False, trouble=str(problem))
    return Kept(version, by, is_lost=False, trouble="")
