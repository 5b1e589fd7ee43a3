"""The definitions of the example, as Feast's registry gives them back."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from feast import FeatureStore

from larder.compute.materialize import apply_definitions
from larder.contracts.settings import load_settings
from larder.online.planning import feature_plan
from larder.views import feature_fields

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    home = tmp_path_factory.mktemp("feature repo") / "home"
    home.mkdir()
    (home / "feature_repo").symlink_to(ROOT / "feature_repo", target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LARDER_HOME", str(home))
        patch.setenv("LARDER_REDIS", "redis://127.0.0.1:1/0")
        yield apply_definitions(load_settings())


def test_every_stored_feature_says_what_it_is(store: FeatureStore):
    views = [*store.list_stream_feature_views(), *store.list_feature_views()]

    silent = [f"{view.name}:{field.name}" for view in views for field in feature_fields(view) if not field.description]

    assert len(views) == 12
    assert silent == []


def test_every_on_demand_feature_is_described_by_a_tag_of_its_view(store: FeatureStore):
    (view,) = store.list_on_demand_feature_views()

    assert set(view.tags) == {field.name for field in view.features}


def test_a_window_never_outlives_the_ttl_of_its_view(store: FeatureStore):
    for view in store.list_stream_feature_views():
        assert max(item.time_window for item in view.aggregations) < view.ttl
        assert {item.slide_interval for item in view.aggregations} == {timedelta(minutes=5)}


def test_a_route_is_two_keys(store: FeatureStore):
    view = store.get_stream_feature_view("route_arrivals")

    assert {column.name for column in view.entity_columns} == {"origin", "destination"}


def test_the_service_compiles_into_a_plan_with_each_input_once(store: FeatureStore):
    plan = feature_plan(store, "flight_delay")

    names = [column.name for column in plan.columns]
    assert len(names) == len(set(names)) == 117
    assert {key.name for key in plan.entity_keys} == {"origin", "destination", "carrier", "tail_number"}
    assert [item.name for item in plan.request_fields] == [
        "scheduled_departure_at",
        "scheduled_arrival_at",
        "distance_miles",
    ]
