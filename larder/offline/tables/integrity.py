"""Whether the files of a table are there and whole: what the libraries that read them do not check.

Bit flips inside data files are found only where there are checksums. Spark writes one beside every file on a
file system of this machine (Hadoop's `.name.crc`), and one into every Parquet page; delta-rs writes neither and
verifies neither. A table that delta-rs wrote is checked for the sizes of its files and for what cannot be
decoded; a changed value in it stays unseen.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
from deltalake import DeltaTable

from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.offline.tables.log import LogFile, list_log, lost_rows

_HEADER = struct.Struct(">4sI")
_MAGIC = b"crc\0"
RESTORE = "Restore the file from a backup"


@dataclass(frozen=True)
class Content:
    """What a check of a table's content could check."""

    files: int
    """Data files of the version."""
    verified: int
    """Those of them that have a checksum, each of which fits."""


def check_files(table: DeltaTable) -> None:
    """Raise when a file of the table's version is gone or not what the log says; costs no read of data.

    On a file system of this machine only: an object store keeps an object whole or not at all. Raises
    MissingTableError when VACUUM removed files of this version, InvalidDataError for any other damage.
    """
    folder = local_folder(table)
    if folder is None:
        return
    for file in list_log(str(folder)).parts(table.version()):
        _check_log_file(folder, file, table.version())
    for path, size in data_files(table).items():
        _check_size(table, _local_file(folder, path), size)


def check_content(table: DeltaTable) -> Content:
    """Read every data file that has a checksum beside it and raise InvalidDataError when it does not fit.

    About a second per gigabyte. What has no checksum is counted in `files` but not in `verified`.
    """
    check_files(table)
    folder = local_folder(table)
    paths = data_files(table)
    verified = 0
    for path in paths if folder else []:
        fits = fits_checksum(_local_file(folder, path)) if folder else None
        if fits is False:
            raise InvalidDataError(
                f"{path} of {_name(table)} does not fit its checksum: the file or the checksum beside it was damaged "
                f"after it was written. {RESTORE}, or write its rows again."
            )
        verified += fits is True
    return Content(len(paths), verified)


def data_files(table: DeltaTable) -> dict[str, int]:
    """Bytes of each file of the version by its path in the table's folder; a shallow clone has URIs among them."""
    added = pa.table(table.get_add_actions())
    # The log writes paths as parts of a URL.
    return dict(zip(map(unquote, added["path"].to_pylist()), added["size_bytes"].to_pylist(), strict=True))


def local_folder(table: DeltaTable) -> Path | None:
    """The table's folder; None when it is on an object store."""
    address = urlparse(table.table_uri)
    return Path(unquote(address.path)) if address.scheme == "file" else None


def place(table: DeltaTable) -> str:
    """The table's folder or URI, as a reader of a message would write it."""
    return str(local_folder(table) or table.table_uri)


def fits_checksum(file: Path) -> bool | None:
    """Whether the file is what Hadoop's file system wrote; None when that left no checksum beside it."""
    try:
        sums = file.with_name(f".{file.name}.crc").read_bytes()
    except FileNotFoundError:
        return None
    if len(sums) < _HEADER.size:  # Hadoop, too, passes over a checksum file that a crash left empty
        return None
    magic, length = _HEADER.unpack_from(sums)
    if magic != _MAGIC or not length:
        return False
    expected = b"".join(struct.pack(">I", zlib.crc32(chunk)) for chunk in _chunks(file, length))
    return sums[_HEADER.size :] == expected


def _chunks(file: Path, length: int) -> Iterator[bytes]:
    with file.open("rb", buffering=1 << 20) as content:
        while chunk := content.read(length):
            yield chunk


def _local_file(folder: Path, path: str) -> Path:
    """Where the file of a table is; that of a shallow clone lies in another table's folder."""
    return folder / path.removeprefix("file:")


def _check_log_file(folder: Path, file: LogFile, version: int) -> None:
    place = folder / "_delta_log" / file.name
    damage = None
    if fits_checksum(place) is False:
        damage = "does not fit the checksum beside it"
    elif file.is_commit:
        damage = lost_rows(place.read_bytes())
    if damage:
        raise InvalidDataError(
            f"_delta_log/{file.name} of {folder} {damage}, so version {version} would lack rows. {RESTORE}, or pin a "
            "version before the damage with DeltaSource(version=...)."
        )


def _check_size(table: DeltaTable, file: Path, size: int) -> None:
    try:
        found = file.stat().st_size
    except FileNotFoundError:
        raise missing_file(table, file.name) from None
    if found != size:
        raise InvalidDataError(
            f"{file.name} of {_name(table)} has {found} bytes, but {size} were written: it was cut off or overwritten. "
            f"{RESTORE}, or write its rows again."
        )


def missing_file(table: DeltaTable, file: str) -> MissingTableError:
    """The error for a data file that the version names and that is gone."""
    newest = list_log(table.table_uri).newest
    if newest is not None and newest > table.version():
        return MissingTableError(
            f"Version {table.version()} of {place(table)} cannot be read any more: its file {file} was removed, "
            f"most likely by VACUUM; the newest version is {newest}. Pin a later version; `larder data vacuum` leaves "
            "those that data.lock and registered models pin."
        )
    return MissingTableError(
        f"The file {file} of {_name(table)}, the newest one, was removed. {RESTORE}, or write its rows again."
    )


def _name(table: DeltaTable) -> str:
    return f"version {table.version()} of {place(table)}"
