"""Feast's compute engine: `feast materialize` brings gold and the online store up to an instant."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from feast import FeatureView, StreamFeatureView
from feast.infra.common.materialization_job import MaterializationJob, MaterializationTask
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from feast.utils import make_tzaware
from pydantic import NonNegativeInt

from larder.compute.job import FinishedJob, Materialized, materialized
from larder.compute.ledger_entries import features_entry, unrecorded_rows
from larder.compute.push import push_latest
from larder.compute.refresh.compaction import compact
from larder.compute.refresh.gold import Refresh
from larder.compute.refresh.on_spark import ROWS_PER_TASK
from larder.compute.view import refresh_view
from larder.contracts.errors import LarderError, MissingTableError
from larder.contracts.settings import Settings, load_settings
from larder.ledger import Ledger, ledger_of
from larder.offline.history import history_of
from larder.offline.tables.gold import gold_position
from larder.offline.tables.opening import open_history
from larder.store_settings import StoreSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOGGER = logging.getLogger(__name__)


class SparkFeatureEngineConfig(StoreSettings):
    """The `batch_engine` section of `feature_store.yaml`; how Spark runs is said by `LARDER_SPARK_*`."""

    type: Literal["larder.compute.SparkFeatureEngine"] = "larder.compute.SparkFeatureEngine"
    spark_from_rows: NonNegativeInt = ROWS_PER_TASK
    """A refresh with about so many events to compute with and rows to compare, or more, runs on Spark, a smaller one in
    this process, to the same bytes; 0: always on Spark."""
    compact_from_files: NonNegativeInt = 100
    """So many small files of a gold table are put together into one, after a refresh and its push; 0: never."""


class SparkFeatureEngine(ComputeEngine):
    """Windows into gold tables, and the latest values from there into the online store.

    The end of the interval that Feast asks for is the instant of the run. Spark starts with the first view
    whose gold is behind by much, and not at all when none is.
    """

    report: Callable[[Materialized], None] | None = None
    """Called with the result of each view. None, as under Feast's own commands: it is printed and recorded, and gold is
    compacted."""

    def __init__(self, *, repo_config: RepoConfig, **parts: Any) -> None:
        super().__init__(repo_config=repo_config, **parts)
        # Feast reads this section when somebody asks for it: wrong settings are told now, at apply.
        self._config: SparkFeatureEngineConfig = repo_config.batch_engine

    def update(self, project: str, *views_and_entities: Any, **more: Any) -> None:  # noqa: ARG002 - Feast's signature
        """Nothing to prepare: tables appear with their first rows. Says so where gold holds other windows."""
        _, views_to_keep, *_ = views_and_entities
        windowed = (view for view in views_to_keep if isinstance(view, StreamFeatureView) and view.aggregations)
        for view in {view.name: view for view in windowed}.values():  # Feast names stream views twice
            self._warn_of_other_windows(view)

    def teardown_infra(self, project: str, fvs: Sequence[FeatureView], entities: Sequence[Any]) -> None:
        """Nothing is removed: gold is history, and training sets of the past point into it."""

    def _materialize_one(
        self,
        registry: BaseRegistry,  # noqa: ARG002 - the signature is Feast's
        task: MaterializationTask,
        **more: Any,  # noqa: ARG002
    ) -> MaterializationJob:
        started = time.monotonic()
        view, instant = task.feature_view, task.end_time.astimezone(UTC)
        if self.report is None:
            self._ledger.require_writable()
        refresh = None
        if isinstance(view, StreamFeatureView) and view.aggregations:
            refresh = self._refresh(view, task.start_time, instant)
        push = push_latest(view, self.repo_config, self._settings, instant=instant) if view.online else None
        result = materialized(view.name, instant, refresh, push, time.monotonic() - started)
        if self.report is not None:
            self.report(result)
        else:
            print(result)
            unrecorded = unrecorded_rows(self._ledger, [result])
            features_entry(self._ledger, [result], at=self._settings.clock(), unrecorded=unrecorded)
            self.compact(view)
        return FinishedJob(task, result)

    def compact(self, view: FeatureView) -> None:
        """Put small files of the view's gold together where there are many; see `larder.compute.refresh.compaction`."""
        if isinstance(view, StreamFeatureView) and view.aggregations:
            gold = history_of(view, self.repo_config).table
            compact(gold, from_files=self._config.compact_from_files)

    def _warn_of_other_windows(self, view: StreamFeatureView) -> None:
        """Feast asks no engine before it registers a view, so that it cannot be refused."""
        try:
            open_history(history_of(view, self.repo_config))
        except MissingTableError:
            return
        except (LarderError, OSError) as problem:
            LOGGER.warning("View %r is registered, but nothing brings it up as it is: %s", view.name, problem)

    def _refresh(self, view: StreamFeatureView, start: datetime, until: datetime) -> Refresh:
        previous = gold_position(history_of(view, self.repo_config).table)
        # Gold may be further than the last run that the registry knows, which was cut off, or restored, or begun anew:
        # to go on from there is no wish for a backfill. Without any known run Feast makes up a start.
        goes_on = view.most_recent_end_time is None or start == make_tzaware(view.most_recent_end_time)
        is_live = previous is not None and (goes_on or start >= previous.instant)
        return refresh_view(view, self.repo_config, self._spark, until=until, is_live=is_live)

    def _spark(self) -> "SparkSession":
        from larder.spark.session import spark_session

        return spark_session(self._settings, app_name="larder-features")

    @cached_property
    def _ledger(self) -> Ledger:
        return ledger_of(self._settings)

    @cached_property
    def _settings(self) -> Settings:
        return load_settings(near=self.repo_config.repo_path)
