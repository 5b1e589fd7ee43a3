"""Bringing a view's gold table up to its events: append only, nothing done when nothing changed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from deltalake import DeltaTable

from larder.compute.definition import WindowDefinition
from larder.compute.events import EventSource, check_events
from larder.compute.refresh.corrections import Run
from larder.compute.refresh.gold_files import commit_files
from larder.compute.refresh.here import written_here
from larder.compute.refresh.inputs import inputs_of
from larder.compute.refresh.on_spark import ROWS_PER_TASK, written_on_spark
from larder.compute.refresh.task import gold_schema
from larder.contracts.clock import microseconds
from larder.contracts.errors import ConfigurationError
from larder.offline.history import Windows
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.gold import GoldPosition, check_windows, opened_gold, position_in

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Refresh:
    """What one refresh did."""

    position: GoldPosition
    appended: int
    """Rows added to gold."""
    before: int | None = 0
    """Rows that gold had before; None where its files do not say."""
    live_since: datetime | None = None
    """The refresh before a live one: rows after it count as known only from this one on. None for a backfill."""


def refresh_gold(
    session: "Callable[[], SparkSession]",
    definition: WindowDefinition,
    source: EventSource,
    gold: str,
    *,
    until: datetime,
    is_live: bool,
    project: str = "",
    spark_from_rows: int = ROWS_PER_TASK,
) -> Refresh:
    """Append to the table `gold` what it lacks up to `until`, this instant included.

    `is_live` says that rows after the previous refresh become known only at `until`; otherwise they are a
    backfill, known as if the run had been on time. Corrections are always known from `until` on. Only what can have
    changed is read, where the logs of both tables tell. `session` is called where that is about `spark_from_rows` rows
    or more; fewer are computed in this process, to the same bytes. Raises what `check_windows`, `check_events` and
    `commit_files` raise.
    """
    stored = opened_gold(gold)
    previous = None if stored is None else position_in(stored)
    before = 0 if stored is None else _row_count(stored)
    events = open_table(source.table, source.version)
    check_events(source, pa.schema(events.schema().to_arrow()), definition)
    if stored is not None and previous is not None:
        columns = definition.renamed(source.columns)
        check_windows(stored, previous, Windows(definition.fingerprint, source.table, project, columns))
        _check_layout(stored, gold)
        is_same_source = (previous.source, previous.source_version) == (source.table, events.version())
        if is_same_source and until <= previous.instant:
            return Refresh(previous, 0, before)
    position = _next_position(previous, source, events, definition, until, project)
    inputs = inputs_of(definition, source, events, stored, previous)
    reached = None if previous is None else microseconds(previous.instant)
    run = Run(microseconds(until), reached, is_live, since=inputs.gold_from)
    work = inputs.work(definition)
    if work is not None and work < spark_from_rows:
        files = written_here(definition, run, inputs, gold)
    else:
        files = written_on_spark(session(), definition, run, inputs, gold, work=work)
    if previous is not None and until < previous.instant and not files.num_rows:
        return Refresh(previous, 0, before)
    commit_files(files, gold, gold_schema(definition), position, onto=stored)
    live_since = previous.instant if previous is not None and is_live else None
    return Refresh(position, sum(files["rows"].to_pylist()), before, live_since)


def _row_count(table: DeltaTable) -> int | None:
    rows = pa.table(table.get_add_actions())["num_records"]
    return None if rows.null_count else sum(rows.to_pylist())


def _next_position(
    previous: GoldPosition | None,
    source: EventSource,
    events: DeltaTable,
    definition: WindowDefinition,
    until: datetime,
    project: str,
) -> GoldPosition:
    reached = GoldPosition(
        source.table,
        events.version(),
        until,
        definition.fingerprint,
        refresh=1,
        source_id=str(events.metadata().id),
        project=project,
        columns=definition.renamed(source.columns),
    )
    if previous is None:
        return reached
    reached = msgspec.structs.replace(reached, refresh=previous.refresh + 1, project=previous.project or project)
    if until >= previous.instant:
        return reached
    # Gold reflects the newer events only up to an instant that it had passed: it still stands at the older ones.
    return msgspec.structs.replace(previous, refresh=reached.refresh, run=reached.run)


def _check_layout(stored: DeltaTable, gold: str) -> None:
    """Files are written as the definition names their columns, and into the table's own folder."""
    metadata = stored.metadata()
    if metadata.partition_columns or metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
        raise ConfigurationError(
            f"{gold} was given partitions or column mapping, so nothing can be appended to it. Delete it and run again "
            "to rebuild it, or give the view a new name."
        )
