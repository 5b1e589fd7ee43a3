"""The engine that joins in this process: Arrow and NumPy, one view after the other, each read once in batches.

Memory holds the request, one row of features for each of its rows, and a batch; the table may be any size.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import polars as pl
import pyarrow as pa

from larder.contracts.errors import InvalidDataError
from larder.offline.history import History
from larder.offline.join.as_of import Asked
from larder.offline.join.held import Arrivals, Held
from larder.offline.retrieval.lookup import REQUESTED_AT, Lookup, asked_of
from larder.offline.retrieval.reading import StoredRows, conditions
from larder.offline.types import declared


def features_as_of(requests: pa.Table, lookups: Sequence[Lookup], *, at: str) -> dict[str, pa.ChunkedArray]:
    """Every feature asked for by its reference `view:feature`, row for row as `requests`, known at column `at`."""
    columns: dict[str, pa.ChunkedArray] = {}
    for lookup in lookups:
        columns |= _features_of(lookup, requests, at=at)
    return columns


def _features_of(lookup: Lookup, requests: pa.Table, *, at: str) -> dict[str, pa.ChunkedArray]:
    values = _joined(asked_of(lookup, requests, at=at), lookup)
    if values.num_rows != requests.num_rows:
        raise InvalidDataError(
            f"The as-of join with {lookup.history.table} gave {values.num_rows} rows for {requests.num_rows} requests; "
            "nothing was returned. Please report this with the schemas of both."
        )
    return {
        f"{lookup.view}:{field.name}": declared(values[field.name], field, where=lookup.history.table)
        for field in lookup.fields
    }


def _joined(asked: pa.Table, lookup: Lookup) -> pa.Table:
    history = lookup.history
    ready, held = _held(asked, history, [field.name for field in lookup.fields])
    if held.has_ties and not set(history.features) <= set(ready.stored.names):
        # Which of two tied rows answers must not depend on which of their features were asked for.
        ready, held = _held(asked, history, history.features)
    return ready.features(held)


def _held(asked: pa.Table, history: History, features: Sequence[str]) -> tuple[Asked, Held]:
    rows = StoredRows(history, features)
    ready = Asked(asked, rows.schema, history, at=REQUESTED_AT)
    held = ready.nothing_held()
    if len(ready.slots):
        for arrivals in _by_threads(ready.located, rows.batches(conditions(ready))):
            held.take(arrivals)
    return ready, held


def _by_threads(work: Callable[[pa.Table], Arrivals], batches: Iterable[pa.Table]) -> Iterator[Arrivals]:
    """The work on each batch, in the order of the batches; one thread per processor, and one batch each in memory."""
    with ThreadPoolExecutor(pl.thread_pool_size()) as threads:
        under_way: deque[Future[Arrivals]] = deque()
        for batch in batches:
            under_way.append(threads.submit(work, batch))
            if len(under_way) > pl.thread_pool_size():
                yield under_way.popleft().result()
        yield from (done.result() for done in under_way)
