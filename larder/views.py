"""What Feast's registry says of a feature view, put right where Feast 0.67 loses it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from larder.contracts.errors import ConfigurationError

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, Field, OnDemandFeatureView
    from feast.base_feature_view import BaseFeatureView

Source = TypeVar("Source")


def stored_views(store: "FeatureStore") -> "list[FeatureView]":
    """All views of the registry that have a history, with and without windows."""
    return [*store.list_stream_feature_views(), *store.list_feature_views()]


def is_stored(view: "BaseFeatureView") -> bool:
    """Whether it is an on-demand view whose outputs are computed when its sources are written, and stored online."""
    return bool(getattr(view, "write_to_online_store", False))


def stored_on_demand_views(store: "FeatureStore") -> "list[OnDemandFeatureView]":
    return [view for view in store.list_on_demand_feature_views() if is_stored(view)]


def stored_outputs_warning(name: str) -> str:
    """What has to be said of an on-demand view that `is_stored`."""
    return (
        f"On-demand view {name!r} has write_to_online_store=True: get_online_features answers what was computed when "
        "its sources were written, training computes it anew, and nothing compares the two. Take the option off, and "
        "both compute it from the same values."
    )


def age_limit(view: "FeatureView") -> timedelta | None:
    """Age beyond which a value is withheld; None, Feast's zero too, means never.

    Raises ConfigurationError for a limit that no value can keep.
    """
    # An on-demand view that is stored online has none.
    ttl: timedelta | None = getattr(view, "ttl", None)
    if ttl is not None and ttl < timedelta(0):
        raise ConfigurationError(
            f"Feature view {view.name!r} has a ttl of {ttl}: every value would be too old at once. Give the age beyond "
            "which a value is withheld, or 0 for never."
        )
    return ttl or None


def by_name(sources: Mapping[str, Source]) -> list[Source]:
    """The sources of an on-demand view; the registry keeps them in a map, whose order is another in each process."""
    return [sources[name] for name in sorted(sources)]


def key_fields(view: "FeatureView") -> list["Field"]:
    """The join keys of an applied `view`; none of one without entities, to which Feast gives a key of its own."""
    from feast.feature_view import DUMMY_ENTITY_ID

    return [column for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]


def feature_fields(view: "FeatureView") -> list["Field"]:
    """The features of an applied `view`, by name.

    The registry hands a stream view back with its join keys among the features, all in an order that changes
    from one `feast apply` to the next; stored records and tables need one that does not.
    """
    from feast.feature_view import DUMMY_ENTITY_ID

    keys = {DUMMY_ENTITY_ID, *(column.name for column in view.entity_columns)}
    return sorted((field for field in view.features if field.name not in keys), key=lambda field: field.name)
