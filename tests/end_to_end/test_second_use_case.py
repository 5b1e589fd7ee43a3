"""A use case that has nothing to do with the example, through the same commands, from four files."""

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, RunRequest, build_sensor_context, materialize

from schedules.assets import features, silver_tables
from schedules.checks import online_equals_offline
from schedules.sensors import new_raw_files
from tests.end_to_end.project import Project, project
from tests.end_to_end.shop import FIRST, write_shop

SOURCE = Path(__file__).parent.parent / "second_use_case"
CLOCK = "2024-02-25T00:30:00Z"


def write_late_order(folder: Path) -> Path:
    path = folder / "orders_late.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["order_id", "buyer", "amount", "placed_at", "returned_at"])
        rows.writerow(["o-late", "b2", "12.50", (FIRST + timedelta(days=54)).isoformat(), ""])
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(SOURCE, tmp_path_factory.mktemp("a shop") / "my project", clock=CLOCK) as made:
        write_shop(made.settings.raw)
        made.larder("run")
        yield made


def test_the_run_ends_with_a_model_that_passed_its_gates(shop: Project):
    report = shop.report()

    assert report["roc_auc"] > 0.7
    assert report["log_loss"] < report["references"]["constant"]["log_loss"]
    assert all(gate["passed"] for gate in report["gates"])


def test_online_equals_offline_for_every_entity_of_every_view(shop: Project):
    verify = shop.report()["verify"]

    entities = {view["view"]: (view["entities"], len(view["features"])) for view in verify["views"]}
    assert entities["buyers"] == (40, 1)
    assert entities["buyer_orders"] == (40, 8)
    assert verify["compared"] == sum(count * features for count, features in entities.values())
    assert verify["different"] == 0


def test_a_row_with_text_in_a_number_is_reported_and_the_rest_stored(shop: Project):
    from deltalake import DeltaTable

    from larder.contracts.tables import Lake

    lake = Lake(shop.settings.lake)
    refused = DeltaTable(lake.quarantine("orders")).to_pyarrow_table().to_pylist()

    assert len(refused) == 1
    assert "amount" in str(refused[0]) and "twelve" in str(refused[0])
    assert DeltaTable(lake.silver("orders")).to_pyarrow_table().num_rows == 4000


def test_a_second_run_adds_no_version_to_any_table(shop: Project):
    before = shop.larder("status")

    shop.larder("ingest")
    shop.larder("features")

    assert _tables(shop.larder("status")) == _tables(before)


def test_every_act_is_on_record_once_and_the_chain_holds(shop: Project):
    shop.larder("ingest")
    lines = shop.larder("ledger", "show", "--json").splitlines()

    acts = [json.loads(line)["act"] for line in lines if line.startswith("{")]
    assert acts[:4] == ["ingestion", "features", "training", "evaluation"]
    assert acts.count("ingestion") == acts.count("features") == 1
    assert "chain holds" in shop.larder("ledger", "verify")


def test_a_ledger_that_cannot_be_written_stops_a_step_before_its_act(shop: Project):
    path = shop.settings.state / "ledger.jsonl"
    kept = path.read_bytes()
    path.write_bytes(kept.splitlines(keepends=True)[0])
    late = write_late_order(shop.settings.raw)
    try:
        said = shop.larder("ingest", code=2)
    finally:
        path.write_bytes(kept)
        late.unlink()

    assert "was cut" in said
    assert "Nothing new" in shop.larder("ingest")


def test_feast_reads_the_same_values_from_any_folder(shop: Project):
    assert "returns" in shop.feast("feature-services", "list")
    online = shop.feast("get-online-features", "-e", "buyer=b1", "-f", "buyers:country")
    assert "NL" in online or "DE" in online or "FR" in online


def test_a_changed_online_value_is_found_and_named(shop: Project):
    from larder.online.contents import stored_keys
    from larder.online.server.connection import connect
    from larder.online.server.embedded import online_address

    client = connect(online_address(shop.settings))
    key = next(stored_keys(client, "shop", "buyer_orders"))
    record = client.get(key)
    client.delete(key)
    try:
        said = shop.larder("verify", code=2)
    finally:
        client.set(key, record)

    assert "buyer_orders" in said and "missing" in said
    shop.larder("verify")


def test_dagster_takes_a_new_file_through_the_steps_and_asks_no_second_time(
    shop: Project, monkeypatch: pytest.MonkeyPatch
):
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    write_late_order(shop.settings.raw)

    assert isinstance(new_raw_files(build_sensor_context()), RunRequest)
    with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
        first = materialize([silver_tables, features, online_equals_offline], instance=instance)
        second = materialize([silver_tables, features], instance=instance)

    (check,) = first.get_asset_check_evaluations()
    assert check.passed and "equal their offline value" in str(check.description)
    assert "Nothing new" in str(second.asset_materializations_for_node("silver_tables")[0].metadata["conclusion"])


def test_an_erased_buyer_is_gone_and_everything_else_goes_on(shop: Project):
    buyer = _rows(shop, "predictions/returns")[0]["request"]["buyer"]
    assert buyer in {row["buyer"] for row in _rows(shop, "gold/buyer_orders")}

    said = shop.larder("erase", f"buyer={buyer}", "--yes")
    names = ("bronze/orders", "silver/orders", "silver/buyers", "labels/returned_orders", "gold/buyer_orders")
    left = {name: {row["buyer"] for row in _rows(shop, name)} for name in names}

    assert all(buyer not in buyers and len(buyers) == 39 for buyers in left.values())
    asked = {row["request"]["buyer"] for row in _rows(shop, "predictions/returns")}
    assert buyer not in asked and asked
    assert "orders.csv" in said and "returns/1" in said
    assert "Nothing new" in shop.larder("ingest")
    shop.larder("features")
    assert buyer not in {row["buyer"] for row in _rows(shop, "gold/buyer_orders")}
    assert "equal their offline value" in shop.larder("verify")
    shop.larder("train")
    assert "chain holds" in shop.larder("ledger", "verify")


def _rows(shop: Project, name: str) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    rows: list[dict[str, Any]] = DeltaTable(f"{shop.settings.lake}/{name}").to_pyarrow_table().to_pylist()
    return rows


def _tables(status: str) -> list[str]:
    return [line for line in status.splitlines() if "predictions/" not in line and ("/" in line and "│" in line)]
