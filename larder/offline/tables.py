"""Opening Delta tables at a version."""

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError

from larder.contracts.errors import ConfigurationError, MissingTableError


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """The table at `version` (None: the latest). Raises MissingTableError when there is none."""
    try:
        return DeltaTable(uri, version=version)
    except TableNotFoundError:
        raise MissingTableError(
            f"There is no Delta table at {uri}. Write it first (`larder ingest` for silver tables, `larder features` "
            "or `feast materialize-incremental` for windowed views), or correct the path of its DeltaSource; "
            "relative paths start at LARDER_LAKE."
        ) from None


def table_schema(uri: str, version: int | None = None) -> pa.Schema:
    return pa.schema(open_table(uri, version).schema().to_arrow())


def write_dataset(uri: str, rows: pa.Table, *, allow_overwrite: bool) -> None:
    """Write `rows` as the whole table. Raises ConfigurationError when there is one that may not be replaced."""
    if DeltaTable.is_deltatable(uri) and not allow_overwrite:
        raise ConfigurationError(
            f"There is already a Delta table at {uri}; it was left as it is. Choose another path, or pass "
            "allow_overwrite=True."
        )
    write_deltalake(uri, rows.cast(_storable(rows.schema)), mode="overwrite", schema_mode="overwrite")


def _storable(schema: pa.Schema) -> pa.Schema:
    """Delta keeps microseconds."""
    return pa.schema(
        column.with_type(pa.timestamp("us", tz=column.type.tz)) if pa.types.is_timestamp(column.type) else column
        for column in schema
    )
