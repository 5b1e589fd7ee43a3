"""Making pinned versions what retrievals read, without writing to any table."""

from collections.abc import Mapping, Sequence

from larder.contracts.errors import ConfigurationError, MissingTableError
from larder.contracts.settings import Settings
from larder.offline.tables.delta_table import open_table
from larder.versions.files import check_whole
from larder.versions.lock_file import PinnedTable, write_lock_file
from larder.versions.pins import checked_out, checkout_file, place_of
from larder.versions.snapshot import schema_fingerprint


def check_out(settings: Settings, pins: Mapping[str, PinnedTable]) -> None:
    """Let retrievals read `pins` from now on; other tables that are checked out already stay so.

    Raises MissingTableError, before anything changes, when a pinned version is not whole or not the one pinned.
    """
    for name, pin in pins.items():
        check_pin(name, pin, lake=settings.lake)
    write_lock_file(checkout_file(settings), checked_out(settings) | dict(pins))


def release(settings: Settings, names: Sequence[str]) -> list[str]:
    """Let retrievals read the latest of the tables `names` again, of all when it is empty; the names released."""
    held = checked_out(settings)
    unknown = sorted(set(names) - set(held))
    if unknown:
        raise ConfigurationError(f"{unknown} are not checked out; {sorted(held) or 'nothing'} is.")
    kept = {name: pin for name, pin in held.items() if names and name not in names}
    if kept:
        write_lock_file(checkout_file(settings), kept)
    else:
        checkout_file(settings).unlink(missing_ok=True)
    return sorted(set(held) - set(kept))


def check_pin(name: str, pin: PinnedTable, *, lake: str) -> None:
    """Raise MissingTableError unless the pinned version is there, whole, and of the table that was pinned."""
    place = place_of(name, lake)
    table = open_table(place, pin.version)
    if str(table.metadata().id) != pin.table_id or schema_fingerprint(table) != pin.schema:
        raise MissingTableError(
            f"{place} is not the table that was pinned: version {pin.version} has the id {table.metadata().id} and the "
            f"schema {schema_fingerprint(table)}, pinned are {pin.table_id} and {pin.schema}. It was deleted and "
            "written anew, or the pin was edited. Restore the table, or pin it as it is with `larder data pin`."
        )
    check_whole(table)
