import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

from larder.contracts.errors import ConfigurationError
from larder.contracts.plan import Column, Feature, ViewPlan, decoded, encoded
from larder.offline.history import history_of
from larder.online.planning import feature_plan, view_plan
from larder.online.reading.compiled import CompiledPlan
from tests.online.feast_shop import applied_store, loyalty, offers, overall, relative, shop, user, visits

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")


def applied(folder: Path, *features: Any, more: tuple[Any, ...] = ()) -> FeatureStore:
    """The shop with a service `offers` of `features`; nothing connects to its Redis."""
    service = FeatureService(name="offers", features=list(features)) if features else offers
    return applied_store(
        folder, "redis://127.0.0.1:1/0", user, shop, visits, loyalty, overall, relative, *more, service
    )


def test_a_view_is_planned_with_sorted_keys_and_features_and_its_ttl() -> None:
    assert view_plan(loyalty) == ViewPlan(
        name="loyalty",
        join_keys=(Feature("shop_id", "int64"), Feature("user_id", "string")),
        request_keys=("shop_id", "user_id"),
        features=(Feature("level", "string"), Feature("points", "int64"), Feature("since", "unix_timestamp")),
        ttl_seconds=None,
    )
    assert view_plan(visits).ttl_seconds == 600
    assert view_plan(overall).join_keys == ()


def test_a_ttl_that_no_value_can_keep_is_refused_by_both_stores(tmp_path: Path) -> None:
    view = FeatureView(
        name="visits", entities=[user], ttl=timedelta(days=-1), schema=visits.schema, source=visits.source
    )

    with pytest.raises(ConfigurationError, match="'visits' has a ttl of -1 day"):
        view_plan(view)
    with pytest.raises(ConfigurationError, match="'visits' has a ttl of -1 day"):
        history_of(view, applied(tmp_path).config)


def test_the_registry_gives_the_same_plan_as_the_definition(tmp_path: Path) -> None:
    store = applied(tmp_path)

    for view in (visits, loyalty, overall):
        assert view_plan(store.get_feature_view(view.name)).fingerprint == view_plan(view).fingerprint


def test_a_service_is_planned_in_its_own_order(tmp_path: Path) -> None:
    plan = feature_plan(applied(tmp_path), "offers")

    assert plan.columns == (
        Column("price_per_score", "relative", "price_per_score", "float64"),
        Column("level", "loyalty", "level", "string"),
        Column("points", "loyalty", "points", "int64"),
        Column("score", "visits", "score", "float64"),
        Column("mean_price", "overall", "mean_price", "float64"),
    )
    assert [view.name for view in plan.views] == ["visits", "loyalty", "overall"]
    assert plan.request_fields == (Feature("basket_price", "float64"),)
    assert plan.on_demand[0].inputs == (("", "basket_price"), ("visits", "score"))
    assert [key.name for key in plan.entity_keys] == ["user_id", "shop_id"]


def test_a_plan_survives_its_file_and_runs_where_feast_is_not(tmp_path: Path) -> None:
    plan = feature_plan(applied(tmp_path), "offers")
    assert decoded(encoded(plan)) == plan
    (tmp_path / "plan.json").write_bytes(encoded(plan))
    program = (
        "import sys, pathlib; from larder.contracts.plan import decoded\n"
        "from larder.online.reading.on_demand import OnDemand\n"
        "plan = decoded(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "rows = [[-8.0, 4.0]]\n"
        "OnDemand(plan.on_demand[0], {('', 'basket_price'): 0, ('visits', 'score'): 1}).append_outputs(rows)\n"
        "print(rows, 'feast' in sys.modules, 'pandas' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "plan.json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    assert run.stdout.strip() == "[[-8.0, 4.0, 2.0]] False False"


def test_a_view_in_another_role_reads_other_request_keys(tmp_path: Path) -> None:
    friend = visits.with_name("friend_visits").with_join_key_map({"user_id": "friend_id"})

    plan = feature_plan(applied(tmp_path, friend, loyalty), "offers")

    assert plan.views[0].name == "visits"
    assert plan.views[0].reference == "friend_visits"
    assert plan.views[0].request_keys == ("friend_id",)
    assert plan.columns[0] == Column("score", "friend_visits", "score", "float64")


def test_sources_of_an_on_demand_view_are_planned_by_name_whatever_order_the_registry_hands_out(tmp_path: Path) -> None:
    sources = [RequestSource(name=name, schema=[Field(name=f"{name}_count", dtype=Int64)]) for name in "dcba"]

    @on_demand_feature_view(
        sources=[visits, overall, loyalty, *sources], mode="python", schema=[Field(name="sum", dtype=Int64)]
    )
    def summed(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"sum": inputs["points"]}

    plan = feature_plan(applied(tmp_path, summed, more=(summed,)), "offers")

    assert [view.name for view in plan.views] == ["loyalty", "overall", "visits"]
    assert [key.name for key in plan.entity_keys] == ["shop_id", "user_id"]
    assert [field.name for field in plan.request_fields] == ["a_count", "b_count", "c_count", "d_count"]
    assert [view for view, _ in plan.on_demand[0].inputs] == sorted(view for view, _ in plan.on_demand[0].inputs)


def test_one_name_for_two_features_is_refused(tmp_path: Path) -> None:
    friend = visits.with_name("friend_visits").with_join_key_map({"user_id": "friend_id"})

    with pytest.raises(ConfigurationError, match=r"the name 'score' in view visits and in view friend_visits"):
        feature_plan(applied(tmp_path, visits, friend), "offers")


def test_a_request_field_named_like_a_feature_is_refused(tmp_path: Path) -> None:
    score = RequestSource(name="claimed", schema=[Field(name="score", dtype=Float64)])

    @on_demand_feature_view(sources=[score], mode="python", schema=[Field(name="doubled", dtype=Float64)])
    def claimed(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"doubled": [2 * value for value in inputs["score"]]}

    with pytest.raises(ConfigurationError, match=r"the name 'score' in view visits and in the request data"):
        feature_plan(applied(tmp_path, claimed, visits, more=(claimed,)), "offers")


def test_an_on_demand_view_in_pandas_mode_is_refused(tmp_path: Path) -> None:
    request = RequestSource(name="counts", schema=[Field(name="count", dtype=Int64)])

    @on_demand_feature_view(sources=[request], mode="pandas", schema=[Field(name="doubled", dtype=Int64)])
    def framed(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"doubled": inputs["count"] * 2})

    with pytest.raises(ConfigurationError, match=r"'framed' has mode 'pandas'.*mode='python'"):
        feature_plan(applied(tmp_path, framed, more=(framed,)), "offers")


def test_an_on_demand_view_under_another_name_is_planned_and_run(tmp_path: Path) -> None:
    plan = feature_plan(applied(tmp_path, relative.with_name("renamed"), visits), "offers")

    assert [view.name for view in plan.on_demand] == ["renamed"]
    CompiledPlan(plan)


@pytest.mark.parametrize("name", ["event_timestamp", "known_at"])
def test_a_field_that_is_called_like_the_instants_of_a_record_is_refused(name: str) -> None:
    view = FeatureView(
        name="calls", entities=[user], source=visits.batch_source, schema=[Field(name=name, dtype=Int64)]
    )

    with pytest.raises(ConfigurationError, match=f"'{name}' of view 'calls'.*field_mapping"):
        view_plan(view, [user])
