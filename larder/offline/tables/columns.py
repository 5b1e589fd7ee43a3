"""Which columns of its source's table a view means, and whether they are there."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable

from larder.contracts.errors import ConfigurationError, LarderError, MissingColumnsError
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.integrity import place

if TYPE_CHECKING:
    from feast.data_source import DataSource


def columns_by_name(source: "DataSource") -> dict[str, str]:
    """The column behind each name that `field_mapping` gives; raises ConfigurationError when one has two."""
    columns: dict[str, str] = {}
    for column, name in source.field_mapping.items():
        if name in columns:
            raise ConfigurationError(
                f"field_mapping of source {source.name!r} gives the name {name!r} to two columns, {columns[name]!r} "
                f"and {column!r}. Map one of them."
            )
        columns[name] = column
    return columns


def check_columns(table: DeltaTable, wanted: Collection[str]) -> None:
    """Raise MissingColumnsError when the table's version lacks a column, and say what it may be called there."""
    found = _names(table)
    missing = sorted(set(wanted) - set(found))
    if missing:
        hints = "".join(f" {hint}" for hint in _hints(table, missing, found))
        raise MissingColumnsError(
            f"Version {table.version()} of {place(table)} lacks {missing}; it has {sorted(found)}.{hints} Write them, "
            "pin a version that has them, or correct the feature view's schema, timestamp_field or field_mapping."
        )


def _hints(table: DeltaTable, missing: Collection[str], found: Collection[str]) -> Iterator[str]:
    for name in missing:
        for similar in found:
            if similar.lower() == name.lower():
                yield f"Names differ in case: {name!r} is {similar!r} there."
    # Another version may be damaged, or gone from a log that was cleaned up: then there is nothing to hint at.
    with suppress(LarderError, OSError):
        newest = open_table(table.table_uri)
        if newest.version() > table.version():
            later = sorted(set(missing) & set(_names(newest)))
            if later:
                yield f"The newest version, {newest.version()}, has {later}."
        elif newest.version() > 0:
            yield from _dropped(table, missing)


def _dropped(table: DeltaTable, missing: Collection[str]) -> Iterator[str]:
    """What the version before had, when the newest commit took the columns away."""
    before = open_table(table.table_uri, table.version() - 1)
    dropped = sorted(set(missing) & set(_names(before)))
    if dropped:
        yield f"Version {before.version()} still had {dropped}."


def _names(table: DeltaTable) -> list[str]:
    names: list[str] = pa.schema(table.schema().to_arrow()).names
    return names
