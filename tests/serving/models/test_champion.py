import importlib
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from larder.contracts.answer import Answer
from larder.contracts.bundle import CHAMPION, Manifest, set_champion, write_bundle
from larder.contracts.errors import ConfigurationError, InvalidDataError, MissingTableError
from larder.contracts.plan import Feature, FeaturePlan
from larder.contracts.settings import Settings
from larder.online.position import Position, write_position
from larder.online.server import embedded
from larder.online.server.connection import connect
from serving.app import create_app
from serving.models import champion as champion_module
from serving.models.champion import CurrentChampion, VersionLoader
from serving.online_store import online_store
from tests.keys import key_pair
from tests.serving.conftest import NOW

SECONDS_TO_NOTICE = 10.0


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS_TO_NOTICE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_new_champion_takes_over_without_a_restart(server: Any, promote: Any, known: Any):
    promote("2")

    assert _eventually(lambda: server.ask(known).json["model"]["version"] == "2")
    ready = server.get("/ready").json
    assert (ready["ready"], ready["model"], ready["version"], ready["refused"]) == (True, "returns", "2", None)
    assert 'larder_model{model="returns",version="2"} 1.0' in server.get("/metrics").text


def test_a_damaged_champion_leaves_the_old_one_answering_until_it_is_mended(
    server: Any, settings: Settings, freeze: Any, known: Any
):
    bundle = freeze("2")
    whole = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(whole[:-1])
    set_champion(settings.bundles, "returns", "2")

    assert _eventually(lambda: server.get("/ready").json["refused"] is not None)
    ready = server.get("/ready")
    assert (ready.status, ready.json["version"]) == (200, "1")
    assert "model.onnx" in ready.json["refused"]
    assert "larder_champion_refused 1.0" in server.get("/metrics").text
    assert server.ask(known).json["model"]["version"] == "1"

    (bundle / "model.onnx").write_bytes(whole)
    assert _eventually(lambda: server.ask(known).json["model"]["version"] == "2")
    assert server.get("/ready").json["refused"] is None


def _with_one_field_more(plan: FeaturePlan) -> FeaturePlan:
    """The plan, once the fields of its view `customers` have changed."""
    sales, customers = plan.views
    changed = msgspec.structs.replace(customers, features=(*customers.features, Feature("birth_year", "int64")))
    return msgspec.structs.replace(plan, views=(sales, changed))


def _materialized_again(settings: Settings, plan: FeaturePlan) -> None:
    """Redis says that it holds `customers` as `plan` has it."""
    position = Position("table", 1, NOW, "", plan.views[1].fingerprint.hex())
    with closing(connect(embedded.start(settings))) as redis:
        write_position(redis, plan.project, "customers", position)


def test_a_champion_of_changed_fields_waits_until_redis_holds_them(
    server: Any, settings: Settings, freeze: Any, plan: FeaturePlan, known: Any
):
    freeze("2", plan=_with_one_field_more(plan))
    set_champion(settings.bundles, "returns", "2")

    assert _eventually(lambda: server.get("/ready").json["refused"] is not None)
    assert "Redis holds view 'customers' with schema" in server.get("/ready").json["refused"]
    assert server.ask(known).json["model"]["version"] == "1"

    _materialized_again(settings, _with_one_field_more(plan))
    assert _eventually(lambda: server.get("/ready").json["version"] == "2")


def test_a_champion_whose_fields_redis_no_longer_holds_is_not_ready_and_says_what_helps(
    server: Any, settings: Settings, plan: FeaturePlan
):
    assert server.get("/ready").status == 200
    _materialized_again(settings, _with_one_field_more(plan))

    ready = server.get("/ready")

    assert (ready.status, ready.json["ready"]) == (503, False)
    assert "'customers'" in ready.json["reason"]
    assert "of the fields age_years" in ready.json["reason"]
    assert "`larder train` and `larder promote`, or give the view its former fields back" in ready.json["reason"]


def test_an_unsigned_champion_leaves_the_signed_one_answering(
    settings: Settings, freeze: Any, manifest: Manifest, plan: FeaturePlan, graph: bytes, tmp_path: Path
):
    private, public = key_pair(tmp_path)
    write_bundle(settings.bundles, manifest, plan, graph, signing_key=private)
    freeze("2")
    set_champion(settings.bundles, "returns", "1")
    store = online_store(settings)
    current = CurrentChampion(VersionLoader(settings.bundles, "returns", Answer("returns"), store, public))

    set_champion(settings.bundles, "returns", "2")
    current.refresh()

    assert current.champion.version == "1"
    assert "2 is not signed" in str(current.refusal)
    with pytest.raises(InvalidDataError, match="2 is not signed"):
        create_app(replace(settings, trusted_keys=public))
    store.close()


def test_a_champion_whose_views_redis_does_not_hold_is_refused(
    server: Any, promote: Any, plan: FeaturePlan, known: Any
):
    renamed = msgspec.structs.replace(plan.views[1], name="customers_v2")
    columns = tuple(
        msgspec.structs.replace(column, view="customers_v2") if column.view == "customers" else column
        for column in plan.columns
    )
    promote("2", plan=msgspec.structs.replace(plan, views=(plan.views[0], renamed), columns=columns))

    assert _eventually(lambda: "customers_v2" in (server.get("/ready").json["refused"] or ""))
    assert server.ask(known).json["model"]["version"] == "1"


@pytest.mark.parametrize("pointer", ["../../evil/1", "/tmp/evil", "..", ".", "", "1/../../returns/1"])
def test_a_champion_outside_its_folder_is_refused(settings: Settings, promote: Any, materialize: Any, pointer: str):
    materialize()
    promote("1")
    (settings.bundles / "returns" / CHAMPION).write_text(pointer)

    with pytest.raises(InvalidDataError, match="outside"):
        create_app(settings)


def test_without_a_champion_there_is_no_server(settings: Settings):
    with pytest.raises(MissingTableError, match="larder promote"):
        create_app(settings)


def test_rules_that_name_no_view_of_the_model_are_refused_at_start(settings: Settings, promote: Any):
    promote("1")
    file = settings.home / "serving" / "returns.py"
    file.write_text(file.read_text().replace('"shop_sales"', '"shop_purchases"'))

    with pytest.raises(ConfigurationError, match="shop_purchases"):
        create_app(settings)


def test_a_champion_that_fails_in_a_way_nobody_foresaw_leaves_the_old_one_answering_and_the_next_one_is_found(
    server: Any, promote: Any, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as lacking:
        lacking.setattr(champion_module, "load_model", lambda *_, **__: importlib.import_module("no_such_library"))
        promote("2")
        assert _eventually(lambda: "no_such_library" in str(server.get("/ready").json["refused"]))
        assert server.get("/ready").json["version"] == "1"

    promote("3")
    assert _eventually(lambda: server.get("/ready").json["version"] == "3")
