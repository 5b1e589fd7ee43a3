"""The feature store's own historical retrieval for all requests of a stretch at once, and rows of it when asked for.

An as-of join answers each row for itself, so a retrieval of few rows is these rows of a retrieval of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import FeaturePlan
from larder.contracts.tables import EVENT_TIMESTAMP, Lake
from larder.offline.retrieval.conditions import Between
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.rows import rows_of
from replay.served import Requests
from training.data.training_set import Retrieve, Retrieved, request_columns

_PLACE = "@place"


@dataclass(frozen=True)
class Retrieval:
    """Features of every request, as training's retrieval gives them."""

    requests: pl.DataFrame
    """Distinct requests with their place in `features`."""
    features: pa.Table
    versions: dict[str, int]
    retrieve: Retrieve
    """For labels whose request a later correction changed or took away: the source's label table lacks them."""

    def rows(self, requests: pa.Table) -> Retrieved:
        """Features of `requests`, row for row."""
        keys = [name for name in self.requests.columns if name != _PLACE]
        asked = pl.DataFrame(requests.select(keys)).cast({name: self.requests.schema[name] for name in keys})
        places = asked.join(self.requests, on=keys, how="left", nulls_equal=True, maintain_order="left")[_PLACE]
        features = self.features
        if places.null_count():
            others = requests.select(keys).filter(places.is_null().to_arrow())
            features = pa.concat_tables([features, self.retrieve(others).features.cast(features.schema)])
            behind = places.is_null().cum_sum() + self.features.num_rows - 1
            places = places.cast(pl.Int64).fill_null(behind.cast(pl.Int64))
        return Retrieved(features.take(places.to_arrow().cast(pa.int64())), self.versions)


def all_requests(source: Lake, label_table: str, plan: FeaturePlan, *, until: datetime) -> pa.Table:
    """Every prediction that was asked for up to `until`: request fields and instant, in order of time.

    From the label table of the source lake: what will be asked is known long before any outcome.
    """
    names = request_columns(plan)
    rows = rows_of(
        open_table(source.labels(label_table)), [*names, EVENT_TIMESTAMP], [Between(EVENT_TIMESTAMP, None, until)]
    )
    return rows.sort_by([(EVENT_TIMESTAMP, "ascending"), *((name, "ascending") for name in names)])


def require_requests(source: Lake, label_table: str, start: datetime, until: datetime) -> None:
    """Raise InvalidDataError for a time in which nobody asked: all that a replay could say of it is nothing."""
    asked = rows_of(open_table(source.labels(label_table)), [EVENT_TIMESTAMP], [])[EVENT_TIMESTAMP]
    first, last = pc.min_max(asked).as_py().values()
    if not pc.sum(pc.and_(pc.greater(asked, pa.scalar(start)), pc.less_equal(asked, pa.scalar(until)))).as_py():
        there = f"they lie between {first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC" if first else "it is empty"
        raise InvalidDataError(
            f"The label table {label_table!r} holds no prediction from {start:%Y-%m-%d %H:%M} to "
            f"{until:%Y-%m-%d %H:%M} UTC; {there}. Correct --from and --to."
        )


def retrieval(retrieve: Retrieve, requests: pa.Table) -> Retrieval:
    """One retrieval of all distinct `requests`, at the versions that pins say."""
    distinct = pl.DataFrame(requests).unique(maintain_order=True)
    done = retrieve(distinct.to_arrow().cast(requests.schema))
    return Retrieval(distinct.with_row_index(_PLACE), done.features.combine_chunks(), done.versions, retrieve)


def as_requests(table: pa.Table) -> Requests:
    """The table's rows as a caller would send them."""
    names: Sequence[str] = [name for name in table.column_names if name != EVENT_TIMESTAMP]
    return Requests(table.select(names).to_pylist(), table[EVENT_TIMESTAMP].to_pylist())
