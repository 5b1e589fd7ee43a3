"""Answers in the types that the prediction log has: deltalake casts what it appends, 1.5 to 1, without a word."""

from typing import Any

from larder.contracts.errors import SchemaMismatchError


def as_stored(rows: Any, stored: Any) -> Any:
    """The table `rows` in the types of the Arrow schema `stored`; columns and fields that it lacks stay as they are.

    Floats are rounded to its width. Raises SchemaMismatchError, naming the column, for another kind of value, and
    ValueError for a number that does not fit.
    """
    import pyarrow as pa

    columns = {
        name: _fitted(rows[name].combine_chunks(), stored.field(name).type, name)
        if name in stored.names
        else rows[name]
        for name in rows.column_names
    }
    return pa.table(columns)


def _fitted(values: Any, wanted: Any, name: str) -> Any:
    import pyarrow as pa

    from larder.logged_types import keeps
    from larder.offline.tables.kinds import parts

    found = values.type
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        known = parts(wanted)
        fields = {
            field: _fitted(values.field(field), known.get(field, dtype), f"{name}.{field}")
            for field, dtype in parts(found).items()
        }
        return pa.StructArray.from_arrays(list(fields.values()), names=list(fields), mask=values.is_null())
    if keeps(wanted, found):
        return values.cast(wanted)
    raise SchemaMismatchError(
        f"{name} is {found}, but {wanted} in the prediction log. Give the feature that changed its type another name, "
        "train and promote; or move the log's table away, and another one is begun."
    )
