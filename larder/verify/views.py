"""What there is to prove: the online views of the registry, and where the two sides of each lie."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from larder.contracts.errors import ConfigurationError
from larder.contracts.plan import ViewPlan
from larder.offline.history import History, history_of
from larder.offline.tables.delta_table import open_table
from larder.offline.tables.integrity import check_content
from larder.online.planning import stored_plan
from larder.views import stored_views

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


@dataclass(frozen=True)
class VerifiedView:
    """One online view."""

    plan: ViewPlan
    """What serving reads by."""
    history: History
    project: str

    @property
    def name(self) -> str:
        return self.plan.name


def verified_views(store: "FeatureStore") -> list[VerifiedView]:
    """All online views of the registry, by name. Raises ConfigurationError when there is none."""
    online = sorted((view for view in stored_views(store) if view.online), key=lambda view: view.name)
    if not online:
        raise ConfigurationError(
            "The registry holds no online feature view. Run `feast apply` or `larder features` first."
        )
    return [verified_view(view, store) for view in online]


def verified_view(view: "FeatureView", store: "FeatureStore") -> VerifiedView:
    return VerifiedView(stored_plan(view, store.config), history_of(view, store.config), store.project)


def check_history(history: History) -> None:
    """Raise InvalidDataError when the table does not fit its checksums: it would prove nothing."""
    if history.format == "delta":
        check_content(open_table(history.table, history.version, options=history.storage_options))
