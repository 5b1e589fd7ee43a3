"""The engine that joins in this process: Arrow and NumPy, one view after the other, each read once in batches.

Memory holds the request, one row of features for each of its rows, and a batch; the table may be any size.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.errors import InvalidDataError
from larder.offline.as_of import AsOfJoin
from larder.offline.delta import INSTANT, StoredRows, key_range, time_range
from larder.offline.held import Arrivals
from larder.offline.history import History
from larder.offline.lookup import Lookup
from larder.offline.types import declared

_AT = "@requested_at"


def features_as_of(requests: pa.Table, lookups: Sequence[Lookup], *, at: str) -> dict[str, pa.ChunkedArray]:
    """Every feature asked for by its reference `view:feature`, row for row as `requests`, known at column `at`."""
    columns: dict[str, pa.ChunkedArray] = {}
    for lookup in lookups:
        columns |= _features_of(lookup, requests, at=at)
    return columns


def _features_of(lookup: Lookup, requests: pa.Table, *, at: str) -> dict[str, pa.ChunkedArray]:
    history = lookup.history
    asked = pa.table([*(requests[key] for key in lookup.request_keys), requests[at]], [*history.keys, _AT])
    join = _joined(asked, history, [field.name for field in lookup.fields])
    if join.held.has_ties and not set(history.features) <= set(join.stored):
        # Which of two tied rows answers must not depend on which of their features were asked for.
        join = _joined(asked, history, history.features)
    values = join.features()
    if values.num_rows != requests.num_rows:
        raise InvalidDataError(
            f"The as-of join with {history.table} gave {values.num_rows} rows for {requests.num_rows} requests; "
            "nothing was returned. Please report this with the schemas of both."
        )
    return {
        f"{lookup.view}:{field.name}": declared(values[field.name], field, where=history.table)
        for field in lookup.fields
    }


def _joined(asked: pa.Table, history: History, features: Sequence[str]) -> AsOfJoin:
    rows = StoredRows(history, features)
    join = AsOfJoin(asked, rows.schema, history, at=_AT)
    if asked.num_rows:
        for arrivals in _by_threads(join.located, rows.batches(_conditions(asked, history, join))):
            join.take(arrivals)
    return join


def _by_threads(work: Callable[[pa.Table], Arrivals], batches: Iterable[pa.Table]) -> Iterator[Arrivals]:
    """The work on each batch, in the order of the batches; one thread per processor, and one batch each in memory."""
    with ThreadPoolExecutor(pl.thread_pool_size()) as threads:
        under_way: deque[Future[Arrivals]] = deque()
        for batch in batches:
            under_way.append(threads.submit(work, batch))
            if len(under_way) > pl.thread_pool_size():
                yield under_way.popleft().result()
        yield from (done.result() for done in under_way)


def _conditions(asked: pa.Table, history: History, join: AsOfJoin) -> Iterator[str]:
    """What a row must fulfil to answer anything; Delta's statistics then spare whole files."""
    bounds = pc.min_max(asked[_AT].cast(INSTANT, safe=False)).as_py()
    if bounds["max"] is not None:
        yield time_range(history, since=_oldest(bounds["min"], history), until=bounds["max"])
    if (keys := join.keys.range()) and all(isinstance(key, int | str) for key in keys):
        yield key_range(history, *keys)


def _oldest(first: datetime, history: History) -> datetime | None:
    """Event timestamp before which every value is too old for the first request."""
    try:
        return first - history.ttl if history.ttl else None
    except OverflowError:
        return None
