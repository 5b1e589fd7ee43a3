"""The engine that joins on Spark, for tables beyond one machine; answers are those of the embedded engine, to the byte.

The request travels to the history, not the other way round: each task reduces its share of the table to the best
row per slot, only these rows are shuffled, and a second stage picks the answers. No key, however hot, has its
history gathered in one place.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from larder.contracts import errors
from larder.offline.as_of import Asked
from larder.offline.delta import StoredRows, conditions
from larder.offline.history import History
from larder.offline.keys import NONE
from larder.offline.lookup import REQUESTED_AT, Lookup, asked_of
from larder.offline.shares import file_shares
from larder.offline.tasks import (
    PACKED,
    PART,
    PATH,
    ROW,
    SHARE,
    Parts,
    answers_in_rows,
    answers_packed,
    candidates_in_files,
    candidates_in_rows,
    unpacked,
)
from larder.offline.types import declared
from larder.spark.session import session_options

if TYPE_CHECKING:
    from feast import Field
    from pyspark.sql import DataFrame, SparkSession

ROWS_ASKED_AT_ONCE = 5_000_000
"""Each task holds the keys and instants of a request, fifty bytes a row; a larger request is answered in parts."""

READABLE = {"spark.databricks.delta.stats.skipping": "true"}
"""Without it, which is how the local session starts, Delta cannot read a table with deletion vectors."""


def features_as_of(
    requests: pa.Table, lookups: Sequence[Lookup], *, at: str, session: "Callable[[], SparkSession]"
) -> dict[str, pa.ChunkedArray]:
    """Every feature asked for by its reference `view:feature`, row for row as `requests`, known at column `at`."""
    columns: dict[str, pa.ChunkedArray] = {}
    for lookup in lookups:
        spark = session()
        with session_options(spark, READABLE), _task_errors():
            answered = _collected(spark, lookup, requests, at=at)
        columns |= _in_order(answered, lookup, requests.num_rows)
    return columns


@contextmanager
def _task_errors() -> Iterator[None]:
    """What a task refuses comes out as our error again, not as the traceback of a worker."""
    from pyspark.errors import PythonException

    try:
        yield
    except PythonException as problem:
        found = re.search(r"larder\.contracts\.errors\.(\w+): (.+)", str(problem))
        if found is None:
            raise
        raise getattr(errors, found[1])(found[2]) from problem


def joined_rows(spark: "SparkSession", requests: pa.Table, lookups: Sequence[Lookup], *, at: str) -> "DataFrame":
    """The request's rows, `@row` with their position, and every feature by its reference; in no particular order."""
    rows = requests.append_column(ROW, pa.array(np.arange(requests.num_rows)))
    joined = spark.createDataFrame(rows)
    for lookup in lookups:
        # One row or none per request on the right side: rows out = rows in.
        joined = joined.join(view_answers(spark, lookup, requests, at=at), on=ROW, how="left")
    return joined


def view_answers(spark: "SparkSession", lookup: Lookup, requests: pa.Table, *, at: str) -> "DataFrame":
    """Column `@row`, the position of a request, and the features of the view by reference; unanswered ones left out."""
    from pyspark.sql.pandas.types import from_arrow_schema

    parts = [
        part.candidates.mapInArrow(part.task(answers_in_rows), from_arrow_schema(part.schema))
        for part in _parts(spark, lookup, requests, at=at)
    ]
    answered = reduce(lambda left, right: left.unionByName(right), parts)
    return answered.withColumnsRenamed({field.name: f"{lookup.view}:{field.name}" for field in lookup.fields})


def _collected(spark: "SparkSession", lookup: Lookup, requests: pa.Table, *, at: str) -> pa.Table:
    """What `view_answers` holds, brought to the driver; features under their own names."""
    tables = []
    for part in _parts(spark, lookup, requests, at=at):
        values = part.candidates.mapInArrow(part.task(answers_packed), f"{PACKED} binary").toArrow()[PACKED]
        tables += [part.schema.empty_table(), *unpacked(values)]
    return pa.concat_tables(tables)


@dataclass(frozen=True)
class _Part:
    """A part of the request on its way to answers."""

    asked: Asked
    candidates: "DataFrame"
    """Dealt out by key."""
    dtypes: Mapping[str, pa.DataType]
    first_row: int

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(ROW, pa.int64()), *self.dtypes.items()])

    def task(self, answers: Callable[..., Iterator[pa.RecordBatch]]) -> Callable[..., Iterator[pa.RecordBatch]]:
        return partial(answers, self.asked, self.dtypes, self.first_row)


def _parts(spark: "SparkSession", lookup: Lookup, requests: pa.Table, *, at: str) -> Iterator[_Part]:
    # All features of the view: which of two tied rows answers depends on them.
    stored = StoredRows(lookup.history, lookup.history.features)
    dtypes = {field.name: _declared_type(field, stored, lookup) for field in lookup.fields}
    keyed = asked_of(lookup, requests, at=at)
    for start in range(0, max(keyed.num_rows, 1), ROWS_ASKED_AT_ONCE):
        chunk = keyed.slice(start, ROWS_ASKED_AT_ONCE)
        asked = Asked(chunk, stored.schema, lookup.history, at=REQUESTED_AT)
        slots = Parts.of(asked, _shuffle_partitions(spark))
        candidates = _candidates(spark, asked, slots, stored).repartitionById(len(slots), PART)
        yield _Part(asked, candidates, dtypes, start)


def _candidates(spark: "SparkSession", asked: Asked, parts: Parts, stored: StoredRows) -> "DataFrame":
    schema = f"`{PART}` int, {PACKED} binary"
    shares = file_shares(asked.history, conditions(asked), _shuffle_partitions(spark))
    if shares is None:
        rows = _history_rows(spark, asked.history, stored)
        return rows.mapInArrow(partial(candidates_in_rows, asked, parts), schema)
    named = [(number, path) for number, share in enumerate(shares) for path in share]
    files = spark.createDataFrame(named, f"{SHARE} int, {PATH} string").repartitionById(max(1, len(shares)), SHARE)
    return files.mapInArrow(partial(candidates_in_files, asked, parts), schema)


def _history_rows(spark: "SparkSession", history: History, stored: StoredRows) -> "DataFrame":
    from pyspark.sql import functions as F

    table = spark.read.format("delta").option("versionAsOf", str(history.version)).load(history.table)
    return table.select(*(F.col(f"`{history.column(name)}`").alias(name) for name in stored.schema.names))


def _shuffle_partitions(spark: "SparkSession") -> int:
    return int(spark.conf.get("spark.sql.shuffle.partitions", "200"))


def _declared_type(field: "Field", stored: StoredRows, lookup: Lookup) -> pa.DataType:
    """Refuses, before any work, a stored type that is another kind of value than the declared one."""
    nothing = pa.chunked_array([], stored.schema.field(field.name).type)
    return declared(nothing, field, where=lookup.history.table).type


def _in_order(answered: pa.Table, lookup: Lookup, height: int) -> dict[str, pa.ChunkedArray]:
    """The answers row for row as the requests, null where there is none."""
    places = np.full(height, NONE)
    places[answered[ROW].to_numpy()] = np.arange(answered.num_rows)
    in_order = answered.drop_columns([ROW]).take(pa.array(places, mask=places == NONE))
    return {
        f"{lookup.view}:{field.name}": declared(in_order[field.name], field, where=lookup.history.table)
        for field in lookup.fields
    }
