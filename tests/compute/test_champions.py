from pathlib import Path
from types import SimpleNamespace
from typing import Any

from feast import Entity, FeatureView, Field
from feast.errors import FeatureViewNotFoundException
from feast.types import Int64, String
from feast.value_type import ValueType

from larder.compute.champions import starved_champions
from larder.contracts.bundle import Manifest, set_champion, write_bundle
from larder.contracts.plan import FeaturePlan
from larder.contracts.settings import Settings
from larder.offline import DeltaSource
from larder.online.planning import view_plan

MANIFEST = Manifest("basket", "3", "run", "is_late", "onnx", (), (), {}, None, 0.0, "2024-03-01")


class Registered:
    """A feature store whose registry knows these views, and nothing else."""

    project = "shop"
    config = SimpleNamespace(registry=SimpleNamespace(enable_online_feature_view_versioning=False))

    def __init__(self, *views: FeatureView) -> None:
        self._views = {view.name: view for view in views}
        self.registry = self

    def get_any_feature_view(self, name: str, project: str) -> FeatureView:
        if name not in self._views:
            raise FeatureViewNotFoundException(name, project)
        return self._views[name]


def buyers(*fields: str) -> FeatureView:
    return FeatureView(
        name="buyers",
        entities=[Entity(name="buyer", join_keys=["buyer"], value_type=ValueType.STRING)],
        source=DeltaSource(name="buyers_source", path="silver/buyers", timestamp_field="joined_at"),
        schema=[Field(name="buyer", dtype=String), *(Field(name=name, dtype=Int64) for name in fields)],
    )


def settings_with_a_champion(tmp_path: Path, view: FeatureView) -> Any:
    settings = Settings(home=tmp_path, state=tmp_path, lake=str(tmp_path / "lake"), raw=tmp_path / "raw")
    plan = FeaturePlan("shop", "basket", views=(view_plan(view),), on_demand=(), request_fields=(), columns=())
    write_bundle(settings.bundles, MANIFEST, plan, b"graph")
    set_champion(settings.bundles, "basket", "3")
    return settings


def test_a_champion_that_reads_its_views_as_they_are_is_not_told_of(tmp_path: Path):
    settings = settings_with_a_champion(tmp_path, buyers("age"))

    assert starved_champions(Registered(buyers("age")), settings) == []


def test_a_champion_is_told_of_with_the_fields_that_came_or_went(tmp_path: Path):
    settings = settings_with_a_champion(tmp_path, buyers("age", "orders"))

    (told,) = starved_champions(Registered(buyers("age", "visits")), settings)

    assert told.startswith("basket version 3 answers from view 'buyers', whose fields orders, visits changed.")
    assert "`larder train` and `larder promote`" in told and "under a new name" in told


def test_a_champion_is_told_of_whose_view_is_no_longer_defined(tmp_path: Path):
    settings = settings_with_a_champion(tmp_path, buyers("age"))

    (told,) = starved_champions(Registered(), settings)

    assert "view 'buyers', which is no longer defined" in told


def test_a_champion_that_reads_another_version_of_its_view_is_not_told_of(tmp_path: Path):
    """Each version has records of its own, the first one under the bare name."""
    settings = settings_with_a_champion(tmp_path, buyers("age"))
    current = buyers("age", "visits")
    current.current_version_number = 1
    store = Registered(current)
    store.config = SimpleNamespace(registry=SimpleNamespace(enable_online_feature_view_versioning=True))

    assert starved_champions(store, settings) == []
