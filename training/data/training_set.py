"""Labels joined with what was known about them: the rows that a model learns from and is tested on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.inputs import NUMBER_TYPES, STRING_TYPES
from larder.contracts.objective import Objective
from larder.contracts.plan import FeaturePlan
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP, Lake
from larder.versions.pins import name_of, version_to_read
from training.data.labels import Labels, LabelSelection, label_selection, read_labels
from training.data.lineage import Lineage, commit, data_hash, registry_hash
from training.models.model import Columns

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class TrainingSet:
    """One row per label, in order of prediction instant: the label's columns and the features known at that instant."""

    train: pa.Table
    test: pa.Table
    columns: Columns
    label: str
    lineage: Lineage


@dataclass(frozen=True)
class Retrieved:
    """Features of requests, row for row, and where they came from."""

    features: pa.Table
    versions: dict[str, int]
    """Delta version of every table read, by its place."""


TrainingData = Callable[[LabelSelection], TrainingSet]
"""Selected labels -> the training set of one feature service, by whatever reads its tables."""

Retrieve = Callable[[pa.Table], Retrieved]
"""Entity rows (request fields and `event_timestamp`) -> the service's features as known at each row's instant."""


def training_set(store: "FeatureStore", settings: Settings, objective: Objective, *, service: str) -> TrainingSet:
    """Build the rows through a feature service, as the training file asks; the online store is not read.

    Raises MissingTableError, MissingColumnsError, InvalidDataError or ConfigurationError where labels or features
    do not allow training.
    """
    return joined(store, settings, label_selection(objective, now=settings.clock()), service=service)


def training_data(store: "FeatureStore", settings: Settings, *, service: str) -> TrainingData:
    """Through a feature service; the online store is not read."""
    return lambda selection: joined(store, settings, selection, service=service)


def joined(
    store: "FeatureStore",
    settings: Settings,
    selection: LabelSelection,
    *,
    service: str,
    retrieve: Retrieve | None = None,
) -> TrainingSet:
    """As `training_set`, for labels selected already. All tables are read at the versions that pins say.

    `retrieve` stands in for the feature store where the features of the labels were retrieved before.
    """
    plan = service_plan(store, service)
    columns = model_columns(plan)
    request = request_columns(plan)
    place = Lake(settings.lake).labels(selection.table)
    labels = read_labels(place, selection, request, version=version_to_read(place, lake=settings.lake))
    rows, read_versions = _with_features(retrieve or feast_retrieval(store, service), labels, request, columns)
    versions = {place: labels.version} | read_versions
    return TrainingSet(
        train=rows.slice(0, labels.train.num_rows),
        test=rows.slice(labels.train.num_rows),
        columns=columns,
        label=selection.column,
        lineage=Lineage(
            service=service,
            tables={name_of(table, settings.lake): version for table, version in versions.items()},
            data_hash=data_hash(rows),
            registry_hash=registry_hash(store, service),
            commit=commit(settings.home),
            labels=selection,
        ),
    )


def service_plan(store: "FeatureStore", service: str) -> FeaturePlan:
    """The registered feature service. Raises ConfigurationError, with those there are, when it is none of them."""
    from feast.errors import FeatureServiceNotFoundException

    from larder.online.planning import feature_plan

    try:
        return feature_plan(store, service)
    except FeatureServiceNotFoundException:
        registered = sorted(found.name for found in store.list_feature_services())
        raise ConfigurationError(
            f"There is no feature service {service!r}; registered are {registered}. Run `larder features` "
            "(or `feast apply`); the service bears the name of its use case."
        ) from None


def model_columns(plan: FeaturePlan) -> Columns:
    """The plan's columns as model inputs. Raises ConfigurationError for a type that no model input has."""
    possible = NUMBER_TYPES + STRING_TYPES
    other = {column.name: column.dtype for column in plan.columns if column.dtype not in possible}
    if other:
        raise ConfigurationError(
            f"Feature service {plan.service!r} has {other}; model inputs are {', '.join(possible)}. "
            "Turn them into numbers in an on-demand view (an instant into an age, say), or leave them out."
        )
    return Columns(
        tuple(column.name for column in plan.columns if column.dtype in NUMBER_TYPES),
        tuple(column.name for column in plan.columns if column.dtype in STRING_TYPES),
    )


def request_columns(plan: FeaturePlan) -> list[str]:
    """What a request names: keys, then request fields. Raises ConfigurationError when it would name nothing."""
    if not plan.request:
        raise ConfigurationError(
            f"Feature service {plan.service!r} needs neither a key nor request data, so that no logged answer could be "
            "told from another, nor find its label. Add an entity, of one value if there is one of its kind, or an "
            "on-demand view of request data."
        )
    return [item.name for item in plan.request]


def feast_retrieval(store: "FeatureStore", service: str) -> Retrieve:
    """The feature store's own historical retrieval."""

    def retrieve(requests: pa.Table) -> Retrieved:
        job = store.get_historical_features(entity_df=requests, features=store.get_feature_service(service))
        return Retrieved(job.to_arrow(), getattr(job, "versions", {}))

    return retrieve


def _with_features(
    retrieve: Retrieve, labels: Labels, request: list[str], columns: Columns
) -> tuple[pa.Table, dict[str, int]]:
    """Train rows, then test rows, with the model inputs beside the labels' columns; and the table versions read."""
    rows = pa.concat_tables([labels.train, labels.test]).combine_chunks()
    twice = sorted(set(rows.column_names) & set(columns.names))
    if twice:
        raise ConfigurationError(
            f"{twice} are columns of the labels table and features as well, so one would hide the other. "
            "Rename the features."
        )
    # Only what a request would bring: no label or later knowledge can meet a feature's name on the way.
    retrieved = retrieve(rows.select([*request, EVENT_TIMESTAMP]))
    features = retrieved.features
    if features.num_rows != rows.num_rows:
        raise InvalidDataError(
            f"The offline store returned {features.num_rows} rows for {rows.num_rows} labels; one row each is needed. "
            "Use an offline store that keeps rows and order, such as larder.offline.DeltaOfflineStore."
        )
    for name in columns.names:
        # float32 from here on: what serving feeds to the model, and what an ONNX graph computes with.
        dtype = pa.float32() if name in columns.numbers else pa.large_string()
        rows = rows.append_column(name, features[name].cast(dtype, safe=False))
    return rows, retrieved.versions
