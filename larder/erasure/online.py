"""One subject's records in Redis."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from larder.contracts.plan import ViewPlan
from larder.contracts.settings import Settings
from larder.erasure.subject import Subject
from larder.online.contents import delete_keys, stored_keys
from larder.online.planning import stored_plan
from larder.online.server.connection import BULK_TIMEOUT_SECONDS, connect
from larder.online.store import configured_address, is_packed
from larder.verify.entities import entity_decoder
from larder.views import stored_on_demand_views, stored_views

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


class OnlineRecords:
    """The packed records of all views of the registry; none where the online store is another one.

    Views that are no longer online may have records from before, and each version of a view has its own.
    """

    def __init__(self, store: "FeatureStore", settings: Settings) -> None:
        config = store.config.online_store
        self.others: list[str] = []
        """The online store, where it is not ours."""
        self._project = store.project
        self._views: list[ViewPlan] = []
        if not is_packed(config):
            self.others.append(f"online store {config.type} with layout {getattr(config, 'layout', 'of its own')!r}")
            return
        self._client = connect(configured_address(config, settings), timeout_seconds=BULK_TIMEOUT_SECONDS)
        self._views = [
            stored_plan(version, store.config)
            for view in (*stored_views(store), *stored_on_demand_views(store))
            for version in _versions(view, store)
        ]

    def of(self, subject: Subject) -> dict[str, list[bytes]]:
        """Redis keys by view, for views whose entities carry all of the subject's keys; looks at every key of Redis.

        Entities that have further keys, too, are the subject's.
        """
        wanted = {key.name for key in subject.keys}
        keyed = [view for view in self._views if wanted <= {key.name for key in view.join_keys}]
        return {view.name: list(self._records(view, subject)) for view in keyed}

    def delete(self, keys: list[bytes]) -> None:
        delete_keys(self._client, keys)

    def _records(self, view: ViewPlan, subject: Subject) -> Iterator[bytes]:
        decode = entity_decoder(view, self._project)
        names = [key.name for key in view.join_keys]
        wanted = {names.index(key.name): key.value for key in subject.keys}
        for key in stored_keys(self._client, self._project, view.name):
            entity = decode(key)
            if entity is not None and all(entity[at] == value for at, value in wanted.items()):
                yield key


def _versions(view: "FeatureView", store: "FeatureStore") -> "list[FeatureView]":
    if not store.config.registry.enable_online_feature_view_versioning:
        return [view]
    known = store.registry.list_feature_view_versions(view.name, store.project)
    numbers = [version["version_number"] for version in known]
    return [store.registry.get_feature_view_by_version(view.name, store.project, number) for number in numbers]
