"""The labels that may be used: known in time for training, known by now for testing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from larder.contracts.errors import InvalidDataError, MissingColumnsError, MissingTableError
from larder.contracts.objective import Objective
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.rows import rows_of


@dataclass(frozen=True)
class LabelSelection:
    """Which labels a training set takes; all instants have a time zone."""

    table: str
    """Name below `labels/` in the lake."""
    column: str
    others: tuple[str, ...]
    """Further columns that the rows keep, for slices."""
    split_at: datetime
    test_until: datetime
    known_by: datetime
    """Now, as it was when the labels were read: an outcome known later counts as unknown."""
    train_from: datetime | None = None
    """Training takes predictions from this instant on; None takes all."""
    train_until: datetime | None = None
    """Training takes predictions before this instant; None: up to the split."""


@dataclass(frozen=True)
class Labels:
    """One row per prediction with a known outcome, in order of prediction instant."""

    train: pa.Table
    test: pa.Table
    version: int
    """Version of the Delta table that was read."""


def label_selection(objective: Objective, *, now: datetime) -> LabelSelection:
    """What the training file asks for, at `now`: of that, labels that are mature, at the split or now.

    Before that only outcomes that show early are known, such as every chargeback and no payment that stays.
    """
    matures_after = objective.label.matures_after
    return LabelSelection(
        table=objective.label.table,
        column=objective.label.column,
        others=tuple(part.column for part in objective.slices),
        split_at=objective.split_at,
        test_until=min(objective.test_until, now - matures_after),
        known_by=now,
        train_until=objective.split_at - matures_after,
    )


def read_labels(place: str, selection: LabelSelection, request: Sequence[str], *, version: int | None = None) -> Labels:
    """Labels from the Delta table at `place` and `version` (None: the latest), with the columns `request`.

    Train: predictions before the split (from `train_from` on, before `train_until`) whose outcome was known before it.
    Test: predictions from the split on whose outcome is known by `selection.known_by`. All others belong to neither.
    Raises MissingTableError, MissingColumnsError, or InvalidDataError when a part is empty or a time is naive.
    """
    try:
        table = open_table(place, version)
    except MissingTableError:
        if version is not None:
            raise
        raise MissingTableError(
            f"There is no labels table at {place}. Write it with `larder ingest`, "
            f"or correct the label table {selection.table!r} in the training file."
        ) from None
    wanted = [EVENT_TIMESTAMP, KNOWN_AT, *request, selection.column, *selection.others]
    require_label_columns(place, pa.schema(table.schema()), wanted)
    rows = pl.DataFrame(rows_of(table, wanted))
    known = (
        rows.filter(pl.col(selection.column).is_not_null() & (pl.col(KNOWN_AT) <= selection.known_by.astimezone(UTC)))
        # Files of a Delta table have no order; with one, the same version always gives the same training set.
        .sort(*dict.fromkeys([EVENT_TIMESTAMP, *request, KNOWN_AT, *wanted]))
    )
    in_time, in_window = label_parts(selection)
    return Labels(
        train=_part(known, in_time, "training", selection),
        test=_part(known, in_window, "test", selection),
        version=table.version(),
    )


def label_parts(selection: LabelSelection) -> tuple[pl.Expr, pl.Expr]:
    """Which labels with a known outcome are learned from, and which are judged on."""
    # polars compares instants of one zone only, and a use case may write them in its own.
    split_at, test_until = selection.split_at.astimezone(UTC), selection.test_until.astimezone(UTC)
    at = pl.col(EVENT_TIMESTAMP)
    in_time = (at < split_at) & (pl.col(KNOWN_AT) < split_at)
    if selection.train_from is not None:
        in_time &= at >= selection.train_from.astimezone(UTC)
    if selection.train_until is not None:
        in_time &= at < selection.train_until.astimezone(UTC)
    return in_time, at.is_between(split_at, test_until, closed="left")


def require_label_columns(place: str, schema: pa.Schema, wanted: Sequence[str]) -> None:
    """Raises MissingColumnsError, or InvalidDataError where a time of the label table at `place` is naive."""
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


def _part(known: pl.DataFrame, which: pl.Expr, name: str, selection: LabelSelection) -> pa.Table:
    part = known.filter(which)
    if part.is_empty():
        raise InvalidDataError(
            f"There is no {name} label: predictions with a known outcome lie {_span(known)}; training takes "
            f"those before {(selection.train_until or selection.split_at).isoformat()}, testing those from "
            f"{selection.split_at.isoformat()} to {selection.test_until.isoformat()}. Move split_at and test_until in "
            "the training file, correct its matures_after, ingest more data, or set LARDER_CLOCK later."
        )
    return part.to_arrow()


def _span(known: pl.DataFrame) -> str:
    if known.is_empty():
        return "nowhere (there is none)"
    first, last = known[EVENT_TIMESTAMP][0], known[EVENT_TIMESTAMP][-1]
    return f"from {first.isoformat()} to {last.isoformat()}"
