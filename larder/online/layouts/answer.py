"""What rows found, as Feast's response: one column per feature, built from what its cells have in common."""

from collections.abc import Sequence

from feast.metrics import track_feature_statuses
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from google.protobuf.timestamp_pb2 import Timestamp

from larder.online.feast_values import values_of
from larder.online.layouts.lookup import ViewLookup
from larder.online.reading.compiled import Cell, Status

STATUSES = {
    Status.PRESENT: FieldStatus.PRESENT,
    Status.NOT_FOUND: FieldStatus.NOT_FOUND,
    Status.OUTSIDE_MAX_AGE: FieldStatus.OUTSIDE_MAX_AGE,
}


def append_views(
    response: GetOnlineFeaturesResponse, views: Sequence[ViewLookup], found: Sequence[Sequence[Cell]], *, is_full: bool
) -> None:
    """Append the columns of each view, given what each row found in it.

    A present null is NULL_VALUE; a value that is too old leaves its event timestamp. `is_full` says whether feature
    names are preceded by that of their view.
    """
    for view, rows in zip(views, found, strict=True):
        response.metadata.feature_names.val.extend(view.shown_names(is_full=is_full))
        _append_columns(response, view, rows)


def count_statuses(view: ViewLookup, statuses: Sequence[Status]) -> None:
    """Tell Feast's metrics what the rows of a request found in the view."""
    present = statuses.count(Status.PRESENT) * len(view.names)
    track_feature_statuses(view.view.name, present, len(statuses) * len(view.names) - present)


def append_versions(response: GetOnlineFeaturesResponse, views: Sequence[ViewLookup]) -> None:
    """Append the current version of each view, once."""
    for view in views:
        projection = view.view.projection
        name = projection.name_alias or projection.name
        if name not in [known.name for known in response.metadata.feature_view_metadata]:
            response.metadata.feature_view_metadata.add(name=name, version=view.view.current_version_number or 0)


def _append_columns(response: GetOnlineFeaturesResponse, view: ViewLookup, rows: Sequence[Cell]) -> None:
    # All features of a row share status and timestamp: protobuf copies both faster than it makes them.
    common = GetOnlineFeaturesResponse.FeatureVector(
        statuses=[STATUSES[status] for status, _, _ in rows],
        event_timestamps=[_timestamp(event_timestamp) for _, event_timestamp, _ in rows],
    )
    for place in view.places:
        column = [values[place] for _, _, values in rows]
        response.results.append(common)
        vector = response.results[-1]
        vector.values.extend(values_of(view.plan.reference, view.plan.features[place], column))
        if None in column:
            for index, (status, _, _) in enumerate(rows):
                if status is Status.PRESENT and column[index] is None:
                    vector.statuses[index] = FieldStatus.NULL_VALUE


def _timestamp(microseconds: int | None) -> Timestamp:
    if microseconds is None:
        return Timestamp()
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)
