"""The prediction log: one append-only Delta table with a row per predicted row and model, written beside the answers.

Only serving writes it. An answer is never delayed by its logging: answers wait in a bounded queue, a thread
writes them in batches, and what finds the queue full is dropped and counted.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from larder.contracts.errors import SchemaMismatchError
from larder.contracts.objective import CLASSIFICATION, PREDICTED
from larder.contracts.plan import Feature, FeaturePlan
from larder.contracts.tables import LIVE
from serving.model import Model
from serving.predictions import Prediction

MAX_WAITING = 50_000
"""Rows that may wait to be written; bounds the memory when the disk is slower than the answers."""
SECONDS_BETWEEN_WRITES = 5.0
SECONDS_TO_FLUSH = 10.0
_BATCH_ROWS = 5_000


@dataclass(frozen=True)
class LoggedAnswer:
    """The answer to one request, which holds several rows."""

    id: str
    at: datetime
    model: Model
    rows: Sequence[dict[str, Any]]
    values: Sequence[Sequence[Any]]
    predictions: Sequence[Prediction]
    traffic: str = LIVE
    """`live`, or `shadow` for the same request as a model saw it that only listens."""
    request_plan: FeaturePlan | None = None
    """The plan that names the request's fields where it is not the model's own: a shadow hears the champion's."""


Write = Callable[[Sequence[LoggedAnswer]], None]


class PredictionLog:
    """A bounded queue and the thread that empties it. `start` before `log`; `close` writes what waits."""

    def __init__(
        self, write: Write, *, seconds: float = SECONDS_BETWEEN_WRITES, max_waiting: int = MAX_WAITING
    ) -> None:
        self._write = write
        self._seconds = seconds
        self._max_waiting = max_waiting
        self._waiting: deque[LoggedAnswer] = deque()
        self._waiting_rows = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.written = self.dropped = self.failed_writes = 0
        """Rows written, rows dropped, writes that failed and were tried again."""

    def start(self) -> None:
        self._thread.start()

    def log(self, answer: LoggedAnswer) -> None:
        """Queue an answer; returns at once. A full queue drops it and counts its rows in `dropped`.

        For shadow rows the queue is full at half its length: they may not crowd out what callers were told.
        """
        rows = len(answer.rows)
        room = self._max_waiting if answer.traffic == LIVE else self._max_waiting // 2
        with self._lock:
            if self._waiting_rows + rows > room:
                self.dropped += rows
                return
            self._waiting.append(answer)
            self._waiting_rows += rows
            is_batch_full = self._waiting_rows >= _BATCH_ROWS
        if is_batch_full:
            self._wake.set()

    def close(self) -> None:
        """Write what waits and stop; what cannot be written within ten seconds is counted as dropped."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=SECONDS_TO_FLUSH)
        with self._lock:
            self.dropped += self._waiting_rows
            self._waiting_rows = 0
            self._waiting.clear()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._seconds)
            self._wake.clear()
            self._write_waiting()

    def _write_waiting(self) -> None:
        with self._lock:
            batch = list(self._waiting)
        if not batch:
            return
        try:
            self._write(batch)
        except Exception:  # whatever the storage's trouble is, answers go on, and the rows wait for the next try
            self.failed_writes += 1
            return
        rows = sum(len(answer.rows) for answer in batch)
        with self._lock:
            # A batch leaves the queue only once it is stored; `log` meanwhile appends at the other end.
            for _ in batch:
                with suppress(IndexError):
                    self._waiting.popleft()
            self._waiting_rows = max(0, self._waiting_rows - rows)
            self.written += rows


def delta_writer(table: str) -> Write:
    """A function that appends answers to the Delta table at `table`, made by the first write."""

    def write(answers: Sequence[LoggedAnswer]) -> None:
        from deltalake import write_deltalake

        for rows in _tables(answers):
            write_deltalake(
                table,
                rows,
                mode="append",
                schema_mode="merge",  # another version of the model may bring other features
                # Statistics lie in the table's log and outlive deleted rows; requests may name persons.
                configuration={"delta.dataSkippingStatsColumns": "at"},
            )

    return write


def arrow_type(dtype: str) -> Any:
    """Arrow type of a Feast type's lower-case name. Raises SchemaMismatchError for one that cannot be logged."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "bytes": pa.binary(),
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "unix_timestamp": pa.timestamp("us", "UTC"),
    }
    if dtype not in types:
        raise SchemaMismatchError(f"A value of type {dtype} cannot be logged; possible are {', '.join(types)}.")
    return types[dtype]


def _tables(answers: Sequence[LoggedAnswer]) -> list[Any]:
    """The answers as Arrow tables, one per schema: a champion and a shadow with the same columns share a commit."""
    import pyarrow as pa

    by_model: dict[tuple[int, int], list[LoggedAnswer]] = {}
    for answer in answers:
        by_model.setdefault((id(answer.model), id(answer.request_plan)), []).append(answer)
    by_schema: dict[Any, list[Any]] = {}
    for same_model in by_model.values():
        rows = _rows(same_model)
        by_schema.setdefault(rows.schema, []).append(rows)
    return [pa.concat_tables(tables) for tables in by_schema.values()]


def _rows(answers: Sequence[LoggedAnswer]) -> Any:
    """One Arrow row per predicted row; all answers come from one model and name the same request fields."""
    import pyarrow as pa

    model, request_plan = answers[0].model, answers[0].request_plan or answers[0].model.plan
    predictions = [prediction for answer in answers for prediction in answer.predictions]
    requests = [row for answer in answers for row in answer.rows]
    values = [row for answer in answers for row in answer.values]
    texts = pa.list_(pa.string())
    return pa.table(
        {
            "answer_id": [answer.id for answer in answers for _ in answer.rows],
            "row": pa.array([i for answer in answers for i in range(len(answer.rows))], pa.int32()),
            "at": pa.array([answer.at for answer in answers for _ in answer.rows], pa.timestamp("us", "UTC")),
            "model": [model.manifest.model] * len(requests),
            "version": [model.manifest.version] * len(requests),
            "traffic": [answer.traffic for answer in answers for _ in answer.rows],
            "request": _struct(_request_fields(request_plan), [list(row.values()) for row in requests]),
            "features": _struct([Feature(column.name, column.dtype) for column in model.plan.columns], values),
            "missing": pa.array([prediction.missing for prediction in predictions], texts),
            "stale": pa.array([prediction.stale for prediction in predictions], texts),
            "out_of_bounds": pa.array([prediction.out_of_bounds for prediction in predictions], texts),
            **_answered(model, predictions),
            "confidence": [prediction.confidence for prediction in predictions],
        }
    )


def _answered(model: Model, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """A probability and the decision, or a number."""
    import pyarrow as pa

    predicted = pa.array([prediction.predicted for prediction in predictions], pa.float64())
    found = {PREDICTED[model.manifest.task]: predicted}
    if model.manifest.task == CLASSIFICATION:
        found["decision"] = pa.array([prediction.decision for prediction in predictions], pa.bool_())
    return found


def _request_fields(plan: FeaturePlan) -> list[Feature]:
    return [*plan.entity_keys, *plan.request_fields]


def _struct(fields: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> Any:
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    arrays = [pa.array(column, arrow_type(item.dtype)) for item, column in zip(fields, columns, strict=True)]
    return pa.StructArray.from_arrays(arrays, names=[item.name for item in fields])
