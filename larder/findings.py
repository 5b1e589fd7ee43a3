"""The monitoring table: what monitors found, appended by monitoring, read by training's policy and by people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa

from larder.contracts.errors import MissingTableError
from larder.contracts.monitoring import Finding, Verdict
from larder.offline.retrieval.conditions import Between
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.delta_writing import append_rows
from larder.offline.tables.kinds import INSTANT
from larder.offline.tables.rows import rows_of

SCHEMA = pa.schema(
    [(name, INSTANT) for name in ("run_at", "window_start", "window_end")]
    + [(name, pa.string()) for name in ("monitor", "subject", "metric")]
    + [("value", pa.float64()), ("limit", pa.float64()), ("verdict", pa.string()), ("evidence", pa.string())]
)
_RUN = "run"
"""Column that numbers the runs in order; null where older releases wrote. A clock that stands still gives several runs
the same instant."""

_WINDOW = ["window_start", "window_end", "monitor", "subject", "metric"]
"""What a finding is about; a later run about the same replaces it."""


@dataclass(frozen=True)
class About:
    """Chooses findings; what is empty may be anything."""

    monitor: str
    metric: str = ""
    subject: str = ""

    @property
    def condition(self) -> pl.Expr:
        given = {name: value for name, value in vars(self).items() if value}
        return pl.all_horizontal(pl.lit(True), *(pl.col(name) == value for name, value in given.items()))


def append_findings(place: str, findings: Sequence[Finding]) -> None:
    """Append all findings of one run in one commit."""
    rows = pa.Table.from_pylist([vars(item) | {"verdict": str(item.verdict)} for item in findings], SCHEMA)
    try:
        run = open_table(place).version() + 1
    except MissingTableError:
        run = 0
    append_rows(place, rows.append_column(_RUN, pa.array([run] * rows.num_rows, pa.int64())))


def read_findings(
    place: str, *, until: datetime, since: datetime | None = None, about: Iterable[About] | None = None
) -> list[Finding]:
    """Findings of runs in (since, until], by run; of a window that was looked at again only the newest run's, and of
    runs at one instant only the last one's.

    Only those that one of `about` chooses, where given. Empty when nothing was ever monitored.
    """
    try:
        table = open_table(place)
    except MissingTableError:
        return []
    first = None if since is None else since + timedelta(microseconds=1)
    rows = pl.DataFrame(rows_of(table, [*SCHEMA.names, _RUN], [Between("run_at", first, until)]))
    if _RUN in rows.columns:  # not yet where older releases wrote all
        run = pl.col(_RUN).fill_null(-1)
        rows = rows.filter(run == run.max().over("run_at"))
    if about is not None:
        rows = rows.filter(pl.any_horizontal(pl.lit(False), *(chosen.condition for chosen in about)))
    newest = rows.sort("run_at").unique(_WINDOW, keep="last", maintain_order=True)
    verdicts = {str(verdict): verdict for verdict in Verdict}
    columns = {name: newest[name].to_list() for name in SCHEMA.names}
    columns["verdict"] = [verdicts[verdict] for verdict in columns["verdict"]]
    return [*map(Finding, *(columns[item.name] for item in fields(Finding)))]
