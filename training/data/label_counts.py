"""How many labels a training now would have: counted from three columns, without a join."""

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from larder.contracts.errors import MissingTableError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.rows import rows_of
from training.data.labels import LabelSelection, label_parts, require_label_columns


@dataclass(frozen=True)
class LabelCounts:
    learnable: int
    """Labels to learn from."""
    learnable_values: int
    """Different values among them."""
    judged: int
    """Labels to be judged on."""
    judged_values: int
    new: int
    """Labels to learn from whose prediction came after the newest one learned before; late ones are not counted."""


def label_counts(
    place: str, selection: LabelSelection, *, newest: datetime | None, version: int | None = None
) -> LabelCounts:
    """Counts of what `read_labels` would take; `newest`: prediction instant of the newest label learned before.

    All are 0 while there is no label table. `version` is that of the Delta table, None the latest.
    Raises MissingColumnsError where the table lacks the label.
    """
    try:
        table = open_table(place, version)
    except MissingTableError:
        if version is not None:
            raise
        return LabelCounts(0, 0, 0, 0, 0)
    columns = [EVENT_TIMESTAMP, KNOWN_AT, selection.column]
    require_label_columns(place, pa.schema(table.schema()), columns)
    rows = pl.DataFrame(rows_of(table, columns))
    is_learned, is_judged = label_parts(selection)
    is_new = is_learned if newest is None else is_learned & (pl.col(EVENT_TIMESTAMP) > newest.astimezone(UTC))
    label = pl.col(selection.column)
    is_known = label.is_not_null() & (pl.col(KNOWN_AT) <= selection.known_by.astimezone(UTC))
    known = rows.filter(is_known)
    counts = known.select(
        is_learned.sum().alias("learnable"),
        label.filter(is_learned).n_unique().alias("learnable_values"),
        is_judged.sum().alias("judged"),
        label.filter(is_judged).n_unique().alias("judged_values"),
        is_new.sum().alias("new"),
    )
    return LabelCounts(**counts.row(0, named=True))
