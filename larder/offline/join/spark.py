"""The engine that joins on Spark, for tables beyond one machine; answers are those of the embedded engine, to the byte.

The request travels to the history, not the other way round: each task reduces its share of the table to the best
row per slot, only these rows are shuffled, and a second stage picks the answers. No key, however hot, has its
history gathered in one place.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from larder.contracts import errors
from larder.offline.history import History
from larder.offline.join.as_of import Asked
from larder.offline.join.keys import NONE
from larder.offline.join.shares import file_shares
from larder.offline.join.tasks import (
    PACKED,
    PART,
    ROW,
    Parts,
    answers,
    candidates_in_files,
    candidates_in_rows,
    unpacked,
    with_request,
)
from larder.offline.retrieval.lookup import REQUESTED_AT, Lookup, asked_of
from larder.offline.retrieval.reading import StoredRows, conditions
from larder.offline.types import declared
from larder.spark.session import session_options

if TYPE_CHECKING:
    from feast import Field
    from pyspark import Broadcast
    from pyspark.sql import DataFrame, SparkSession

ROWS_ASKED_AT_ONCE = 5_000_000
"""Each task holds the keys and instants of a request, some sixty bytes a row; a larger request is answered in parts."""

READABLE = {"spark.databricks.delta.stats.skipping": "true"}
"""Without it, which is how the local session starts, Delta cannot read a table with deletion vectors."""


def features_as_of(
    requests: pa.Table, lookups: Sequence[Lookup], *, at: str, session: "Callable[[], SparkSession]"
) -> dict[str, pa.ChunkedArray]:
    """Every feature asked for by its reference `view:feature`, row for row as `requests`, known at column `at`."""
    columns: dict[str, pa.ChunkedArray] = {}
    for lookup in lookups:
        spark = session()
        with session_options(spark, READABLE), task_errors():
            answered = _answers(spark, lookup, requests, at=at)
        columns |= _in_order(answered, lookup, requests.num_rows)
    return columns


@contextmanager
def task_errors() -> Iterator[None]:
    """What a task refuses comes out as our error again, not as the traceback of a worker."""
    from pyspark.errors import PythonException

    try:
        yield
    except PythonException as problem:
        found = re.search(r"larder\.contracts\.errors\.(\w+): (.+)", str(problem))
        if found is None:
            raise
        raise getattr(errors, found[1])(found[2]) from problem


def _answers(spark: "SparkSession", lookup: Lookup, requests: pa.Table, *, at: str) -> pa.Table:
    """Column `@row`, the position of a request, and the features asked for, as stored; unanswered requests left out."""
    # All features of the view: which of two tied rows answers depends on them.
    stored = StoredRows(lookup.history, lookup.history.features)
    for field in lookup.fields:
        _check_type(field, stored, lookup)
    names = [field.name for field in lookup.fields]
    keyed = asked_of(lookup, requests, at=at)
    tables = [pa.schema([(ROW, pa.int64()), *map(stored.schema.field, names)]).empty_table()]
    for first_row in range(0, keyed.num_rows, ROWS_ASKED_AT_ONCE):
        chunk = keyed.slice(first_row, ROWS_ASKED_AT_ONCE)
        asked = Asked(chunk, stored.schema, lookup.history, at=REQUESTED_AT)
        sent = spark.sparkContext.broadcast(asked)
        try:
            parts = Parts.of(asked, shuffle_partitions(spark))
            found = _candidates(spark, asked, sent, parts, stored).repartitionById(len(parts), PART)
            work = partial(with_request, answers, sent, names, first_row)
            tables += unpacked(found.mapInArrow(work, f"{PACKED} binary").toArrow()[PACKED])
        finally:
            sent.destroy()
    return pa.concat_tables(tables)


def _candidates(
    spark: "SparkSession", asked: Asked, sent: "Broadcast[Asked]", parts: Parts, stored: StoredRows
) -> "DataFrame":
    schema = f"`{PART}` int, {PACKED} binary"
    shares = file_shares(asked.history, conditions(asked), shuffle_partitions(spark))
    if shares is None:
        rows = history_rows(spark, asked.history, stored)
        return rows.mapInArrow(partial(with_request, candidates_in_rows, sent, parts), schema)
    numbers = spark.range(0, len(shares), 1, numPartitions=max(1, len(shares)))
    return numbers.mapInArrow(partial(with_request, candidates_in_files, sent, parts, shares), schema)


def history_rows(spark: "SparkSession", history: History, stored: StoredRows) -> "DataFrame":
    """The rows of the table under the names of the view."""
    from pyspark.sql import functions as F

    table = spark.read.format("delta").option("versionAsOf", str(history.version)).load(history.table)
    return table.select(*(F.col(f"`{history.column(name)}`").alias(name) for name in stored.schema.names))


def shuffle_partitions(spark: "SparkSession") -> int:
    return int(spark.conf.get("spark.sql.shuffle.partitions", "200"))


def _check_type(field: "Field", stored: StoredRows, lookup: Lookup) -> None:
    """Refuses, before any work, a stored type that is another kind of value than the declared one."""
    declared(pa.chunked_array([], stored.schema.field(field.name).type), field, where=lookup.history.table)


def _in_order(answered: pa.Table, lookup: Lookup, height: int) -> dict[str, pa.ChunkedArray]:
    """The answers row for row as the requests, in the declared types, null where there is none.

    Raises InvalidDataError for a value that does not fit, as the embedded engine does.
    """
    places = np.full(height, NONE)
    places[answered[ROW].to_numpy()] = np.arange(answered.num_rows)
    in_order = answered.drop_columns([ROW]).take(pa.array(places, mask=places == NONE))
    return {
        f"{lookup.view}:{field.name}": declared(in_order[field.name], field, where=lookup.history.table)
        for field in lookup.fields
    }
