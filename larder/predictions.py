"""The prediction log, and what came of it: logged answers beside their labels as these became known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.contracts.objective import PREDICTED
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT
from larder.contracts.tables import LIVE as LIVE  # read from here by those who read the log
from larder.contracts.tables import SHADOW as SHADOW
from larder.offline.retrieval.conditions import AnyOf, Between
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.kinds import INSTANT, plain
from larder.offline.tables.rows import batches_of, plain_schema, rows_of
from larder.versions.pins import version_to_read

_ORDER = ["at", "answer_id", "row", "traffic"]
_BOUNDED = (pa.int32(), pa.int64(), pa.string(), INSTANT)
"""Types of keys that a Delta table orders as Arrow does."""
_PIECE = 100_000
"""Rows that are put in order at once."""
OUTCOME, OUTCOME_KNOWN_AT, LABEL_AT = "outcome", "outcome_known_at", "label_at"
_POSITION = "@position"


@dataclass(frozen=True)
class Judged:
    """Logged answers with what came of them, one row per answer row, in the order of the log's rows given."""

    rows: pa.Table
    """The given columns and `outcome` (float64: 0 or 1 of yes or no; null while unknown), `outcome_known_at`,
    `label_at` (the label's prediction instant; null where no label fits) and the label table's further columns under
    `label_<name>`."""
    ambiguous: int
    """Rows whose request fits several labels of one instant; they have no outcome."""


def read_predictions(
    place: str,
    *,
    since: datetime,
    until: datetime,
    columns: Sequence[str] | None = None,
    traffic: str | None = None,
) -> pa.Table:
    """Answers logged at instants in (since, until], in order of `at`, `answer_id`, `row` and `traffic`.

    Only those of `traffic`, where given. Rows of tables written before there was a shadow count as live. Empty when
    nothing was ever logged; then columns that were not asked for by name are lacking too.
    """
    wanted = None if columns is None else [*dict.fromkeys([*_ORDER, *columns])]
    try:
        table = open_table(place)
    except MissingTableError:
        return _nothing(wanted)
    nothing = _with_traffic(plain_schema(table, wanted).empty_table())
    logged = _logged(table, wanted, _within(since, until), traffic)
    # Files are read side by side, each (nearly) in order: with the batches in order the log (nearly) is, too.
    return _in_order(pa.concat_tables([nothing, *sorted(logged, key=lambda batch: batch["at"][0].value)]))


def live_counts(place: str, windows: Sequence[tuple[datetime, datetime]]) -> list[int]:
    """Live answers logged in each of the windows (since, until]; none of their content is read."""
    try:
        table = open_table(place)
    except MissingTableError:
        return [0] * len(windows)
    bounds = [_within(since, until) for since, until in windows]
    counts = [0] * len(windows)
    for batch in _logged(table, ["at", "traffic"], AnyOf(tuple(bounds)), LIVE):
        counts = [count + pc.sum(window.mask(batch)).as_py() for count, window in zip(counts, bounds, strict=True)]
    return counts


def judged(
    predictions: pa.Table,
    labels: str,
    column: str,
    *,
    now: datetime,
    others: Sequence[str] = (),
) -> Judged:
    """`predictions` (with their `request`) beside the label table at the place `labels`, as it was known at `now`.

    A label fits an answer whose request names the same values in all columns that both have, null fitting null. Of
    several, as where a request names a customer who is asked about every week, the one whose prediction instant is
    nearest to the answer's is its label. What was known before the answer is not its outcome.
    A label known after `now` counts as unknown. The label table is read at the version that pins say.
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
    asked = pa.table({name: request.field(name) for name in keys})
    within = _bounds(asked, pa.schema(table.schema().to_arrow()))
    rows = pl.DataFrame(rows_of(table, [*keys, EVENT_TIMESTAMP, KNOWN_AT, column, *kept], within))
    is_known = pl.col(KNOWN_AT) <= pl.lit(now.astimezone(UTC))
    known = rows.select(
        *(pl.col(name).alias(f"@{name}") for name in keys),
        pl.when(is_known).then(pl.col(column).cast(pl.Float64)).alias(OUTCOME),
        pl.when(is_known).then(pl.col(KNOWN_AT)).alias(OUTCOME_KNOWN_AT),
        pl.col(KNOWN_AT).alias("@known"),
        pl.col(EVENT_TIMESTAMP).alias(LABEL_AT),
        *(pl.col(name).alias(f"label_{name}") for name in kept),
    )
    on = [f"@{name}" for name in keys]
    answered = pl.DataFrame(asked.rename_columns(on)).with_row_index(_POSITION)
    answered = answered.with_columns(pl.Series("@at", predictions["at"].combine_chunks()))
    known = known.with_columns(pl.col(name).cast(answered.schema[name]) for name in on)
    found = _nearest(answered, known, on)
    is_single = pl.col("@labels") == 1
    added = [OUTCOME, OUTCOME_KNOWN_AT, LABEL_AT, *(f"label_{name}" for name in kept)]
    several = found.select((pl.col("@labels") > 1).sum()).item()
    found = found.select(pl.when(is_single).then(pl.col(name)).alias(name) for name in added)
    result = predictions
    for name in added:
        result = result.append_column(name, found[name].to_arrow())
    return Judged(result, several)


def _nearest(answered: pl.DataFrame, known: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    """Row for row as `answered` (`on`, `@at`, `@position`): the label with the same `on` that is nearest to `@at`.

    `@labels` says how many have its instant, and is null where there is none. Never holds more rows than either side:
    an entity that is asked about a thousand times and has a thousand labels would have a million pairs.
    """
    requests = answered.select(on).unique(maintain_order=True).with_row_index("@request")
    left = answered.join(requests, on=on, how="left", nulls_equal=True, maintain_order="left")
    right = known.join(requests, on=on, how="inner", nulls_equal=True).drop(on)
    counts = pl.len().over("@request", LABEL_AT).alias("@labels")
    right = right.with_columns(counts).unique(["@request", LABEL_AT], keep="any").sort(LABEL_AT)
    left = left.select("@request", "@at", _POSITION).sort("@at")
    before, after = (
        left.join_asof(
            right, left_on="@at", right_on=LABEL_AT, by="@request", strategy=strategy, coalesce=False,
            check_sortedness=False,
        ).sort(_POSITION)
        for strategy in ("backward", "forward")
    )  # fmt: skip
    earlier, later = (
        (side["@at"] - side[LABEL_AT]).abs().set(side["@known"] < side["@at"], None) for side in (before, after)
    )
    # Null where there is no label on that side, or none that was open.
    takes_earlier = earlier.is_not_null() & (later.is_null() | (earlier <= later))
    return before.select(
        pl.when(takes_earlier).then(before[name]).when(later.is_not_null()).then(after[name]).alias(name)
        for name in right.columns
        if name != "@request"
    )


def _within(since: datetime, until: datetime) -> Between:
    return Between("at", since + timedelta(microseconds=1), until)


def _logged(
    table: DeltaTable, columns: Sequence[str] | None, where: Between | AnyOf, traffic: str | None
) -> Iterator[pa.Table]:
    """Batches that are not empty; of `traffic` only, where given."""
    for batch in batches_of(table, columns, [where]):
        rows = _with_traffic(pa.Table.from_batches([batch]))
        if traffic is not None and pc.unique(rows["traffic"]).to_pylist() != [traffic]:  # to filter is to copy
            rows = rows.filter(pc.equal(rows["traffic"], traffic))
        if rows.num_rows:
            yield rows


def _with_traffic(rows: pa.Table) -> pa.Table:
    """Rows older than the column are null in a table that got it later."""
    if "traffic" not in rows.column_names:
        return rows.append_column("traffic", pa.array([LIVE] * rows.num_rows, pa.string()))
    return rows.set_column(rows.column_names.index("traffic"), "traffic", rows["traffic"].fill_null(LIVE))


def _in_order(rows: pa.Table) -> pa.Table:
    """Without a copy where they are in order: a million answers with their features are a gigabyte."""
    places = pl.DataFrame(rows.select(_ORDER)).with_row_index("place").sort(_ORDER, nulls_last=True)["place"]
    if places.is_sorted():
        return rows
    pieces = []
    for start in range(0, len(places), _PIECE):
        # A piece that is taken from all rows would first copy all of them into one chunk.
        piece = places.slice(start, _PIECE).to_numpy().astype(np.int64)
        first, last = piece.min(), piece.max()
        pieces.append(rows.slice(first, last - first + 1).take(pa.array(piece - first)))
    return pa.concat_tables(pieces)


def _bounds(asked: pa.Table, stored: pa.Schema) -> list[Between]:
    """What the keys of a label must lie within to fit any of the rows `asked`: spares reading all labels there are."""
    bounds = []
    for name in asked.column_names:
        values, kind = asked[name], plain(stored.field(name).type)
        # What the join casts may be ordered otherwise, and a null fits null.
        if kind == values.type and kind in _BOUNDED and not values.null_count:
            extremes = pc.min_max(values)
            bounds.append(Between(name, extremes["min"].as_py(), extremes["max"].as_py()))
    return bounds


def _nothing(wanted: Sequence[str] | None) -> pa.Table:
    types = {
        "at": INSTANT,
        "row": pa.int32(),
        **dict.fromkeys(PREDICTED.values(), pa.float64()),
        "decision": pa.bool_(),
        "request": pa.struct([]),
        "features": pa.struct([]),
    } | dict.fromkeys(("missing", "stale", "out_of_bounds"), pa.list_(pa.string()))
    names = wanted or ["at", "answer_id", "row", "traffic", "model", "version", "request", "features"]
    return pa.schema([(name, types.get(name, pa.string())) for name in names]).empty_table()


def _without_outcomes(predictions: pa.Table, others: Sequence[str]) -> pa.Table:
    added = {OUTCOME: pa.float64(), OUTCOME_KNOWN_AT: INSTANT, LABEL_AT: INSTANT} | {
        f"label_{name}": pa.string() for name in others
    }
    for name, dtype in added.items():
        predictions = predictions.append_column(name, pa.nulls(predictions.num_rows, dtype))
    return predictions


def _lake_of(table: str) -> str:
    """The root of `<lake>/<layer>/<table>`."""
    return table.rstrip("/").rsplit("/", 2)[0]
