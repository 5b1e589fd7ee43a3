"""Request-time features over historical rows: Feast's on-demand views, given only what they declare to read."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import UnixTimestamp, from_value_type

from larder.contracts.errors import InvalidDataError, MissingColumnsError
from larder.offline.requests import check_instants
from larder.offline.types import declared

Columns = Mapping[str, pa.ChunkedArray]


def on_demand_features(
    requests: pa.Table, features: Columns, views: Sequence[OnDemandFeatureView]
) -> dict[str, pa.ChunkedArray]:
    """Outputs of `views` by reference `view:feature`.

    `features` holds the stored features by reference. Functions see null as None and instants as
    datetimes in UTC, as they do when serving.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for view in views:
        outputs = view.transform_arrow(_inputs(view, requests, features), full_feature_names=False)
        if outputs.num_rows != requests.num_rows:
            raise InvalidDataError(
                f"On-demand view {view.name!r} returned {outputs.num_rows} values for {requests.num_rows} rows. "
                "Its function must return one value per row in every list."
            )
        for field in view.features:
            reference = f"{view.projection.name_to_use()}:{field.name}"
            columns[reference] = declared(outputs[field.name], field, where=f"the result of {view.name}")
    return columns


def check_request_columns(views: Sequence[OnDemandFeatureView], requests: pa.Table) -> None:
    """Raise MissingColumnsError or InvalidDataError when the request lacks an input or its time zone."""
    for view in views:
        schema = view.get_request_data_schema()
        missing = sorted(set(schema) - set(requests.column_names))
        if missing:
            raise MissingColumnsError(
                f"On-demand view {view.name!r} needs {missing}, but the request has only {requests.column_names}. "
                "Add these columns to the request."
            )
        for name, value_type in schema.items():
            if from_value_type(value_type) == UnixTimestamp:
                check_instants(requests, name)


def _inputs(view: OnDemandFeatureView, requests: pa.Table, features: Columns) -> pa.Table:
    inputs = {name: requests[name] for name in view.get_request_data_schema()}
    for projection in view.source_feature_view_projections.values():
        for field in projection.features:  # Feast adds the short name beside the full one
            inputs[f"{projection.name}__{field.name}"] = features[f"{projection.name_to_use()}:{field.name}"]
    return pa.table({name: _python_instants(column) for name, column in inputs.items()})


def _python_instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps as UTC microseconds, which Arrow hands out as datetimes; nanoseconds would be pandas'."""
    return column.cast(pa.timestamp("us", tz="UTC"), safe=False) if pa.types.is_timestamp(column.type) else column
