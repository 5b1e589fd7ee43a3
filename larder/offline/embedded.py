"""The engine that joins in this process: Arrow and polars, one view after the other."""

from collections.abc import Sequence

import pyarrow as pa

from larder.contracts.errors import InvalidDataError
from larder.offline.as_of import as_of_matches, matched
from larder.offline.delta import read_history
from larder.offline.lookup import Lookup
from larder.offline.types import declared

_AT = "__requested_at"


def features_as_of(requests: pa.Table, lookups: Sequence[Lookup], *, at: str) -> dict[str, pa.ChunkedArray]:
    """Every feature asked for by its reference `view:feature`, row for row as `requests`, known at column `at`."""
    columns: dict[str, pa.ChunkedArray] = {}
    for lookup in lookups:
        columns |= _features_of(lookup, requests, at=at)
    return columns


def _features_of(lookup: Lookup, requests: pa.Table, *, at: str) -> dict[str, pa.ChunkedArray]:
    history = lookup.history
    asked = pa.table([*(requests[key] for key in lookup.request_keys), requests[at]], [*history.keys, _AT])
    rows = read_history(history, columns=[field.name for field in lookup.fields])
    matches = as_of_matches(asked, rows, history, at=_AT)
    if matches.has_ties and not set(history.features) <= set(rows.column_names):
        # Which of two tied rows answers must not depend on which of their features were asked for.
        rows = read_history(history)
        matches = as_of_matches(asked, rows, history, at=_AT)
    values = matched(rows, matches, history)
    if values.num_rows != requests.num_rows:
        raise InvalidDataError(
            f"The as-of join with {history.table} gave {values.num_rows} rows for {requests.num_rows} requests; "
            "nothing was returned. Please report this with the schemas of both."
        )
    return {
        f"{lookup.view}:{field.name}": declared(values[field.name], field, where=history.table)
        for field in lookup.fields
    }
