"""Which types of features the prediction log can keep, once it has begun with others: deltalake casts what it appends,
1.5 to 1, without a word."""

import pyarrow as pa

from larder.contracts.errors import MissingTableError
from larder.contracts.plan import FeaturePlan
from larder.offline.tables.delta_table import table_schema
from larder.offline.tables.kinds import parts, plain
from larder.online.packed.arrow_types import arrow_type


def keeps(stored: pa.DataType, found: pa.DataType) -> bool:
    """Whether a column of type `stored` keeps values of `found`: equal types, floats (rounded to its width), and whole
    numbers in a column of numbers, where they fit."""
    if plain(found) == plain(stored):
        return True
    is_float = pa.types.is_floating(stored)
    return bool(
        (pa.types.is_floating(found) and is_float)
        or (pa.types.is_integer(found) and (is_float or pa.types.is_integer(stored)))
    )


def unkept(place: str, plan: FeaturePlan) -> list[str]:
    """What the log at `place` could not keep of answers by the plan: `<column> (<type there>, <type of the plan>)`."""
    try:
        schema = table_schema(place)
    except MissingTableError:
        return []
    columns = [(column.name, column.dtype) for column in plan.columns]
    asked = [(item.name, item.dtype) for item in plan.request]
    found = []
    for struct, fields in (("features", columns), ("request", asked)):
        stored = parts(schema.field(struct).type) if struct in schema.names else {}
        for name, dtype in fields:
            wanted = arrow_type(dtype)
            if name in stored and wanted is not None and not keeps(stored[name], wanted):
                found.append(f"{struct}.{name} ({plain(stored[name])}, {wanted})")
    return found
