"""Grid instants as they come, for a process that stays and keeps features up to date."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from feast import StreamFeatureView

from larder.compute.declaration import window_definition
from larder.contracts.clock import MICROSECOND, Clock, microseconds
from larder.contracts.errors import ConfigurationError

if TYPE_CHECKING:
    from feast import FeatureStore


def shortest_slide(store: "FeatureStore") -> timedelta:
    """Of all windows in the project. Raises ConfigurationError where there are none."""
    views = [view for view in store.list_stream_feature_views() if isinstance(view, StreamFeatureView)]
    slides = [window_definition(view).slide for view in views if view.aggregations]
    if not slides:
        raise ConfigurationError(
            "No view of the project has windows, so there is no grid of instants to follow. Run `larder features` when "
            "there are new rows."
        )
    return min(slides) * MICROSECOND


def grid_instants(slide: timedelta, clock: Clock, sleep: Callable[[float], None]) -> Iterator[None]:
    """Comes back as soon as a multiple of `slide` from the epoch has passed, without end.

    Those that pass while the caller is at work are one: its next work is about all of them.
    """
    while True:
        now = microseconds(clock())
        step = slide // MICROSECOND
        sleep((step - now % step) / 1e6)
        yield
