"""The labels that may be used: known in time for training, known by now for testing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from larder.contracts.errors import InvalidDataError, MissingColumnsError, MissingTableError
from larder.contracts.objective import Objective
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables import open_table, reading


@dataclass(frozen=True)
class Labels:
    """One row per prediction with a known outcome, in order of prediction instant."""

    train: pa.Table
    test: pa.Table
    version: int
    """Version of the Delta table that was read."""


def read_labels(place: str, objective: Objective, request: Sequence[str], *, now: datetime) -> Labels:
    """Labels from the Delta table at `place`, with the columns `request` and those of the slices.

    Train: predictions before the split whose outcome was known before it. Test: predictions from the split on
    whose outcome is known at `now`. All others belong to neither.
    Raises MissingTableError, MissingColumnsError, or InvalidDataError when a part is empty or a time is naive.
    """
    try:
        table = open_table(place)
    except MissingTableError:
        raise MissingTableError(
            f"There is no labels table at {place}. Write it with `larder ingest`, "
            f"or correct the label table {objective.label.table!r} in the training file."
        ) from None
    wanted = [EVENT_TIMESTAMP, KNOWN_AT, *request, objective.label.column, *(part.column for part in objective.slices)]
    _check_schema(place, pa.schema(table.schema()), wanted)
    with reading(table):
        # Not polars' own reader: it does not find files below a folder with a space in its name.
        rows = pa.table(table.scan(columns=[*dict.fromkeys(wanted)]))
    known = (
        pl.DataFrame(rows)
        .filter(pl.col(objective.label.column).is_not_null() & (pl.col(KNOWN_AT) <= now))
        .with_columns(pl.col(EVENT_TIMESTAMP, KNOWN_AT).dt.cast_time_unit("us").dt.convert_time_zone("UTC"))
        # Files of a Delta table have no order; with one, the same version always gives the same training set.
        .sort(EVENT_TIMESTAMP, *dict.fromkeys(request), KNOWN_AT)
    )
    # polars compares instants of one zone only, and a use case may write them in its own.
    split_at, test_until = objective.split_at.astimezone(UTC), objective.test_until.astimezone(UTC)
    in_time = (pl.col(EVENT_TIMESTAMP) < split_at) & (pl.col(KNOWN_AT) < split_at)
    in_window = pl.col(EVENT_TIMESTAMP).is_between(split_at, test_until, closed="left")
    return Labels(
        train=_part(known, in_time, "training", objective),
        test=_part(known, in_window, "test", objective),
        version=table.version(),
    )


def _part(known: pl.DataFrame, which: pl.Expr, name: str, objective: Objective) -> pa.Table:
    part = known.filter(which)
    if part.is_empty():
        raise InvalidDataError(
            f"There is no {name} label: predictions with a known outcome lie {_span(known)}, the split at "
            f"{objective.split_at.isoformat()}, the end of the test window at {objective.test_until.isoformat()}. "
            "Move split_at and test_until in the training file, ingest more data, or set LARDER_CLOCK later."
        )
    return part.to_arrow()


def _span(known: pl.DataFrame) -> str:
    if known.is_empty():
        return "nowhere (there is none)"
    first, last = known[EVENT_TIMESTAMP][0], known[EVENT_TIMESTAMP][-1]
    return f"from {first.isoformat()} to {last.isoformat()}"


def _check_schema(place: str, schema: pa.Schema, wanted: Sequence[str]) -> None:
    missing = sorted(set(wanted) - set(schema.names))
    if missing:
        raise MissingColumnsError(
            f"{place} lacks {missing}; it has {sorted(schema.names)}. Write them in the pipelines file, or correct "
            "the names in the training and feature files."
        )
    for name in (EVENT_TIMESTAMP, KNOWN_AT):
        dtype = schema.field(name).type
        if not pa.types.is_timestamp(dtype) or dtype.tz is None:
            raise InvalidDataError(f"{name} of {place} is {dtype}, but an instant needs a time zone. Write it as UTC.")
