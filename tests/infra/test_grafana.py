import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.infra.exposed import exposed, unknown_names

FOLDER = Path(__file__).parents[2] / "infra" / "grafana"
DASHBOARD = json.loads((FOLDER / "larder.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
QUERIES += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_asks_only_for_what_is_exposed(query: str):
    assert unknown_names(query, exposed()) == []


def test_everything_exposed_by_the_server_and_the_monitors_is_on_the_dashboard():
    shown = " ".join(QUERIES)
    own = [name for name in exposed() if name.startswith("larder_")]
    names = {name.removesuffix("_bucket") for name in own if not name.endswith(("_sum", "_count", "_created"))}

    assert [name for name in sorted(names) if name not in shown] == ["larder_verify_last_run_timestamp_seconds"]


def test_grafanas_own_model_of_a_dashboard_knows_every_field():
    """A misspelt field would be dropped without a word, here and in Grafana."""
    register_default_plugins()

    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))

    assert lost(DASHBOARD, read) == []
    assert lost({"titel": "Larder"}, json.loads(JSONEncoder().encode(Dashboard.from_json({"titel": "Larder"})))) != []


def test_panels_do_not_overlap_and_stay_on_the_grid():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]

    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_provisioning_names_a_prometheus_and_the_dashboards_folder():
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/larder.yml").read_text())["providers"]

    assert source["type"] == DASHBOARD["templating"]["list"][0]["query"] == "prometheus"
    assert provider["options"] == {"path": "${DASHBOARDS}"}


def lost(before: Any, after: Any, at: str = "") -> list[str]:
    """Places of what is in `before` and not the same in `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [place for key, value in before.items() for place in lost(value, after.get(key), f"{at}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [place for number, pair in enumerate(pairs) for place in lost(*pair, f"{at}/{number}")]
    return [] if before == after else [at]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]
