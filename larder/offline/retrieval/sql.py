"""Entity rows as SQL over the data sources of the project."""

from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa
from feast import FileSource
from feast.data_source import DataSource
from feast.repo_config import RepoConfig
from polars.io.plugins import register_io_source

from larder.contracts.errors import InvalidDataError
from larder.offline.history import source_history
from larder.offline.retrieval.pins import pinned_for_retrieval
from larder.offline.source import DeltaSource
from larder.offline.tables.opening import OpenTable, open_history


def rows_of_query(query: str, sources: Iterable[DataSource], config: RepoConfig) -> pa.Table:
    """The rows of a query, in the dialect of polars, that names data sources as tables; quote a name with a slash.

    Only the columns that the query needs are read. Raises InvalidDataError when the query cannot be run.
    """
    readable = {source.name: source for source in sources if isinstance(source, DeltaSource | FileSource)}
    tables = {name: _opened(source, config) for name, source in readable.items() if name in query}
    try:
        with pl.SQLContext(frames={name: _frame(table) for name, table in tables.items()}) as context:
            found = context.execute(query, eager=True)
    except pl.exceptions.PolarsError as problem:
        what = str(problem).partition("\n")[0]  # the plan that polars adds helps nobody
        raise InvalidDataError(
            f"The SQL of the request cannot be run: {what}. Its tables are the data sources {sorted(readable)}; put "
            "double quotes round a name that is no plain word."
        ) from problem
    return found.to_arrow(compat_level=pl.CompatLevel.oldest())


def _opened(source: DataSource, config: RepoConfig) -> OpenTable:
    history = source_history(source, config, keys=(), features=(), columns={})
    return open_history(pinned_for_retrieval(history, config))


def _frame(table: OpenTable) -> pl.LazyFrame:
    """Lazy, read by the same code as features are: polars' own reader of Delta fails on a folder with a space."""

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for batch in table.scan(columns or table.schema.names):
            frame = pl.DataFrame(pl.from_arrow(pa.record_batch(batch)))
            frame = frame if rows is None else frame.head(rows)
            rows = None if rows is None else rows - frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if rows == 0:
                return

    empty = pl.DataFrame(pl.from_arrow(table.schema.empty_table()))
    return register_io_source(batches, schema=empty.schema)
