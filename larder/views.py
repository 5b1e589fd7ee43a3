"""What Feast's registry says of a feature view, put right where Feast 0.67 loses it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, Field


def stored_views(store: "FeatureStore") -> "list[FeatureView]":
    """All views of the registry that have a history, with and without windows."""
    return [*store.list_stream_feature_views(), *store.list_feature_views()]


def feature_fields(view: "FeatureView") -> list["Field"]:
    """The features of an applied `view`, by name.

    The registry hands a stream view back with its join keys among the features, all in an order that changes
    from one `feast apply` to the next; stored records and tables need one that does not.
    """
    keys = {column.name for column in view.entity_columns}
    return sorted((field for field in view.features if field.name not in keys), key=lambda field: field.name)
