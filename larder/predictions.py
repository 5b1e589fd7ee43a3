"""The prediction log, and what came of it: logged answers beside their labels as these became known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa

from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.contracts.tables import LIVE as LIVE  # read from here by those who read the log
from larder.contracts.tables import SHADOW as SHADOW
from larder.offline.conditions import Between
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.rows import rows_of
from larder.versions.pins import version_to_read

OUTCOME, OUTCOME_KNOWN_AT, LABEL_AT = "outcome", "outcome_known_at", "label_at"


@dataclass(frozen=True)
class Judged:
    """Logged answers with what came of them, one row per answer row, in the order of the log's rows given."""

    rows: pa.Table
    """The given columns and `outcome` (0 or 1; null while unknown), `outcome_known_at`, `label_at` (the label's
    prediction instant; null where no label fits) and the label table's further columns under `label_<name>`."""
    ambiguous: int
    """Rows whose request fits several labels; they have no outcome."""


def read_predictions(place: str, *, since: datetime, until: datetime, columns: Sequence[str] | None = None) -> pa.Table:
    """Answers logged at instants in (since, until], in order of `at`, `answer_id`, `row` and `traffic`.

    Rows of tables written before there was a shadow count as live. Empty when nothing was ever logged; then columns
    that were not asked for by name are lacking too.
    """
    wanted = None if columns is None else [*dict.fromkeys(["at", "answer_id", "row", "traffic", *columns])]
    try:
        table = open_table(place)
    except MissingTableError:
        return _nothing(wanted)
    rows = rows_of(table, wanted, [Between("at", since + timedelta(microseconds=1), until)])
    if "traffic" in rows.column_names:  # rows older than the column are null in a table that got it later
        place_of_traffic = rows.column_names.index("traffic")
        rows = rows.set_column(place_of_traffic, "traffic", rows["traffic"].fill_null(LIVE))
    else:
        rows = rows.append_column("traffic", pa.array([LIVE] * rows.num_rows, pa.string()))
    order = pl.DataFrame(rows.select(["at", "answer_id", "row", "traffic"]))
    positions = order.with_row_index("position").sort("at", "answer_id", "row", "traffic", nulls_last=True)["position"]
    if positions.is_sorted():
        return rows  # a copy of a million answers with their features would take a gigabyte
    return rows.take(positions.to_arrow().cast(pa.int64()))


def judged(
    predictions: pa.Table,
    labels: str,
    column: str,
    *,
    now: datetime,
    others: Sequence[str] = (),
) -> Judged:
    """`predictions` (with their `request`) beside the label table at the place `labels`, as it was known at `now`.

    A label belongs to the answer whose request names the same values in all columns that both have, null fitting
    null. A label known after `now` counts as unknown. The label table is read at the version that pins say.
    `column` holds the label, `others` what the rows keep besides.
    Raises MissingTableError without a label table, InvalidDataError when requests and labels share no column.
    """
    table = open_table(labels, version_to_read(labels, lake=_lake_of(labels)))
    stored = [field.name for field in table.schema().fields]
    request = predictions["request"].combine_chunks() if predictions.num_rows else None
    fields = [field.name for field in predictions.schema.field("request").type] if request is not None else []
    keys = [name for name in fields if name in stored]
    kept = [*dict.fromkeys(others)]
    if request is None:
        return Judged(_without_outcomes(predictions, kept), 0)
    if not keys:
        raise InvalidDataError(
            f"Requests name {fields}, the label table {labels} has {stored}: with nothing in common no answer finds "
            "its label. Keep the request's fields in the label table."
        )
    rows = pl.DataFrame(rows_of(table, [*keys, EVENT_TIMESTAMP, KNOWN_AT, column, *kept]))
    is_known = pl.col(KNOWN_AT) <= pl.lit(now.astimezone(UTC))
    known = rows.select(
        *(pl.col(name).alias(f"@{name}") for name in keys),
        pl.col(column).cast(pl.Float64).cast(pl.Int8).pipe(lambda value: pl.when(is_known).then(value)).alias(OUTCOME),
        pl.when(is_known).then(pl.col(KNOWN_AT)).alias(OUTCOME_KNOWN_AT),
        pl.col(EVENT_TIMESTAMP).alias(LABEL_AT),
        *(pl.col(name).alias(f"label_{name}") for name in kept),
    )
    asked = pl.DataFrame({name: pl.Series(request.field(name)) for name in keys}).with_row_index("@position")
    asked = asked.rename({name: f"@{name}" for name in keys})
    on = [f"@{name}" for name in keys]
    known = known.with_columns(pl.col(name).cast(asked.schema[name]) for name in on)
    met = asked.join(known, on=on, how="left", nulls_equal=True, maintain_order="left")
    several = met.group_by("@position", maintain_order=True).len().filter(pl.col("len") > 1)["@position"]
    found = met.unique("@position", keep="first", maintain_order=True)
    is_single = ~pl.col("@position").is_in(several.implode())
    added = [OUTCOME, OUTCOME_KNOWN_AT, LABEL_AT, *(f"label_{name}" for name in kept)]
    found = found.select(pl.when(is_single).then(pl.col(name)).alias(name) for name in added)
    result = predictions
    for name in added:
        result = result.append_column(name, found[name].to_arrow())
    return Judged(result, len(several))


def _nothing(wanted: Sequence[str] | None) -> pa.Table:
    types = {
        "at": pa.timestamp("us", "UTC"),
        "row": pa.int32(),
        "probability": pa.float64(),
        "decision": pa.bool_(),
        "request": pa.struct([]),
        "features": pa.struct([]),
    } | dict.fromkeys(("missing", "stale", "out_of_bounds"), pa.list_(pa.string()))
    names = wanted or ["at", "answer_id", "row", "traffic", "model", "version", "request", "features", "probability"]
    return pa.schema([(name, types.get(name, pa.string())) for name in names]).empty_table()


def _without_outcomes(predictions: pa.Table, others: Sequence[str]) -> pa.Table:
    instant = pa.timestamp("us", "UTC")
    added = {OUTCOME: pa.int8(), OUTCOME_KNOWN_AT: instant, LABEL_AT: instant} | {
        f"label_{name}": pa.string() for name in others
    }
    for name, dtype in added.items():
        predictions = predictions.append_column(name, pa.nulls(predictions.num_rows, dtype))
    return predictions


def _lake_of(table: str) -> str:
    """The root of `<lake>/<layer>/<table>`."""
    return table.rstrip("/").rsplit("/", 2)[0]
