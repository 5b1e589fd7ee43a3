"""Feast's apply and materialize-incremental, called in this process and without their chatter."""

import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from feast import FeatureStore, OnDemandFeatureView, StreamFeatureView
from feast.errors import SpecifiedFeaturesNotPresentError
from feast.repo_operations import apply_total, parse_repo
from sqlalchemy.exc import IntegrityError

from larder.compute.engine import SparkFeatureEngine
from larder.compute.job import Materialized
from larder.contracts.errors import ConfigurationError, LarderError, OnlineStoreError
from larder.contracts.settings import Settings
from larder.registry import feature_store

Kind = TypeVar("Kind")


def apply_definitions(settings: Settings) -> FeatureStore:
    """`feast apply` of the project's feature repository; returns the store that results.

    Raises ConfigurationError for definitions that Feast cannot apply, or that would delete every view.
    """
    store = feature_store(settings)
    with _quiet_feast(settings.feature_repo):
        # Sources are silver tables that may not have rows yet; the engine says which one is missing.
        try:
            _check_not_emptied(store, settings.feature_repo)
            apply_total(store.config, settings.feature_repo, skip_source_validation=True)
        except SpecifiedFeaturesNotPresentError as problem:
            raise _lacking(problem) from problem
        except IntegrityError as problem:
            if "feature_view_version_history" in str(problem):
                raise ConfigurationError(
                    "The registry has no such view, but versions of one of this name: `feast teardown` deletes every "
                    "project of a registry, not only the one that it is called for, and leaves their versions. Delete "
                    "them in the registry's database, DELETE FROM feature_view_version_history WHERE project_id = "
                    f"'{store.project}', then run the same command again."
                ) from problem
            raise
        except AssertionError as problem:
            if view := _local(problem, "obj", StreamFeatureView):
                raise ConfigurationError(
                    f"Stream feature view {view.name!r} has no stream source, without which Feast keeps no windows. "
                    "Give it source=PushSource(name=..., batch_source=...) with its table."
                ) from problem
            raise
        except ValueError as problem:
            if view := _view_that_answers_none(problem):
                raise ConfigurationError(
                    f"On-demand view {view!r} returns None for the made-up values with which Feast tries it, once, at "
                    "apply: each of its features must then be of its declared type. Return None only where an input "
                    "is None, and another value for text that is not of the form expected."
                ) from problem
            raise
    return feature_store(settings)


def materialize(
    store: FeatureStore,
    until: datetime,
    report: Callable[[Materialized], None],
    failed: Callable[[str, LarderError], None] | None = None,
) -> list[Materialized]:
    """Bring every view of `store` up to `until`; `report` is called after each.

    A view that cannot be brought up keeps no other one from it: `failed` is called with its name and the problem;
    without `failed` the first problem is raised once all had their turn. A failing Redis fails them all, at once.
    """
    results: list[Materialized] = []
    problems: list[LarderError] = []

    def keep(result: Materialized) -> None:
        results.append(result)
        report(result)

    with _quiet_feast(Path(store.repo_path)):
        _engine(store).report = keep
        for view in store._get_feature_views_to_materialize(None):
            try:
                store.materialize_incremental(until, [view.name])
            except OnlineStoreError:
                raise
            except LarderError as problem:
                problems.append(problem)
                if failed is not None:
                    failed(view.name, problem)
    if problems and failed is None:
        raise problems[0]
    return results


def compact_gold(store: FeatureStore) -> None:
    """After a `materialize` and apart from it, since no value waits for it; raises what `compact` raises."""
    with _quiet_feast(Path(store.repo_path)):
        for view in store.list_stream_feature_views():
            _engine(store).compact(view)


def _check_not_emptied(store: FeatureStore, folder: Path) -> None:
    """Raise ConfigurationError when no view is defined any more: Feast would delete them all, and their values."""
    found = parse_repo(folder)
    registered = sorted(view.name for view in store.list_all_feature_views())
    if registered and not (found.feature_views or found.stream_feature_views or found.on_demand_feature_views):
        raise ConfigurationError(
            f"{folder} defines no feature view, but the registry has {', '.join(registered)}. Applying it would delete "
            "them and all their values in Redis. Bring the definitions back; `feast apply` deletes without asking."
        )


def _view_that_answers_none(problem: ValueError) -> str:
    """Feast's error names neither view nor feature; empty for any other error."""
    view = _local(problem, "self", OnDemandFeatureView) if "nonetype cannot be converted" in str(problem) else None
    return view.name if view else ""


def _lacking(problem: SpecifiedFeaturesNotPresentError) -> ConfigurationError:
    """Feast's error spells out every field that there is, on hundreds of lines."""
    view = _local(problem, "self", OnDemandFeatureView)
    missing = _local(problem, "missing_features", list)
    if view is None or missing is None:
        return ConfigurationError(str(problem))
    wanted = ", ".join(f"{field.name!r} ({field.dtype.name})" for field in missing)
    return ConfigurationError(
        f"On-demand view {view.name!r} declares {wanted}, but its function returned nothing of that name and type for "
        "the made-up values with which Feast tries it. Return it, or correct the view's schema."
    )


def _local(problem: BaseException, name: str, kind: type[Kind]) -> Kind | None:
    """What Feast had at hand under `name` when it failed, of the innermost frame that has one of this kind."""
    found = [frame.f_locals.get(name) for frame, _ in traceback.walk_tb(problem.__traceback__)]
    return next((value for value in reversed(found) if isinstance(value, kind)), None)


def _engine(store: FeatureStore) -> SparkFeatureEngine:
    engine = store._get_provider().batch_engine
    if not isinstance(engine, SparkFeatureEngine):
        raise ConfigurationError(
            f"The batch engine is {type(engine).__name__}; `larder features` needs "
            "batch_engine.type larder.compute.SparkFeatureEngine in feature_store.yaml."
        )
    return engine


@contextmanager
def _quiet_feast(repo: Path) -> Iterator[None]:
    """Feast prints each object, warns at each use of stream views, and imports definitions from the current folder."""
    loaded = set(sys.modules)
    sys.path.insert(0, str(repo))
    try:
        with chdir(repo), redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*experimental", category=RuntimeWarning)
            yield
    finally:
        sys.path.remove(str(repo))
        # Another repository may have a file of the same bare name.
        for path in repo.glob("*.py"):
            if path.stem not in loaded:
                sys.modules.pop(path.stem, None)
