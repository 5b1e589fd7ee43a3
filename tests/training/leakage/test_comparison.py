"""The leakage report over the shop: a weight that is corrected once everybody knows how the pan fared."""

import json
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from feast import FeatureService, FeatureStore

from larder.contracts.errors import ConfigurationError, InvalidDataError
from larder.contracts.settings import Settings
from larder.contracts.tables import EVENT_TIMESTAMP, KNOWN_AT, Lake
from larder.leakage.compare import Limits, Verdict
from larder.offline import DeltaSource
from tests.training.shop import SPLIT, shop_objective, shop_rows, write_shop
from training.data.training_set import training_set
from training.leakage.command import leakage
from training.leakage.comparison import (
    Sample,
    answered_for,
    feature_leakages,
    model_leakage,
    sampled_columns,
    stratified,
)

START = SPLIT - timedelta(days=4)
"""600 pans, one every ten minutes: the last of them after the split."""


@pytest.fixture
def honest(store: FeatureStore, settings: Settings) -> FeatureStore:
    write_shop(settings, shop_rows(900, START, seed=1))
    return store


@pytest.fixture
def leaking(store: FeatureStore, settings: Settings) -> FeatureStore:
    """The weight of every pan is corrected five hours later, and the correction tells whether it came back.

    It bears the event timestamp of the row that it corrects, and the source no longer says that one had to wait.
    """
    rows = shop_rows(900, START, seed=1)
    write_shop(settings, rows)
    known_at = pc.add(rows[EVENT_TIMESTAMP], pa.scalar(timedelta(hours=5), pa.duration("us")))
    came_back = rows["came_back"].cast(pa.float32())
    corrected = pa.table(
        {
            "pan": rows["pan"],
            "age_years": rows["age_years"],
            "weight_kg": came_back,
            "metal": rows["metal"],
            EVENT_TIMESTAMP: rows[EVENT_TIMESTAMP],
            KNOWN_AT: known_at,
        }
    )
    write_deltalake(Lake(settings.lake).silver("pans"), corrected, mode="append")
    view = store.get_feature_view("pans")
    view.batch_source = DeltaSource(
        name="pans_source", path="silver/pans", timestamp_field=EVENT_TIMESTAMP, created_timestamp_column=KNOWN_AT
    )
    store.apply([view, FeatureService(name="repairs", features=[view])])
    return store


def sampled(store: FeatureStore, settings: Settings, rows: int = 0) -> Sample:
    objective = shop_objective()
    return sampled_columns(store, settings, objective, service="repairs", rows=rows, seed=0, known={})


def test_one_row_is_drawn_of_each_stretch():
    drawn = stratified(100, 10, seed=3)

    assert [row // 10 for row in drawn] == list(range(10))
    assert stratified(100, 10, seed=3).tolist() == drawn.tolist() != stratified(100, 10, seed=4).tolist()
    assert stratified(3, 0, seed=0).tolist() == stratified(3, 5, seed=0).tolist() == [0, 1, 2]


def test_labels_after_what_gold_holds_are_left_out():
    rows = shop_rows(5, SPLIT, seed=1)
    second = rows[EVENT_TIMESTAMP][1].as_py()

    assert answered_for(rows, second)["pan"].to_pylist() == ["p0", "p1"]
    assert answered_for(rows, None).num_rows == 5
    with pytest.raises(InvalidDataError, match="larder features"):
        answered_for(rows, SPLIT - timedelta(days=1))


def test_a_correction_that_training_sees_too_early_is_flagged_and_nothing_else(leaking, settings):
    found = {item.feature: item for item in feature_leakages(sampled(leaking, settings), Limits())}

    assert {name: item.verdict for name, item in found.items()} == {
        "age_years": Verdict.CLEAN,
        "metal": Verdict.CLEAN,
        "weight_kg": Verdict.LEAK,
    }
    assert found["weight_kg"].auc_training == 1.0
    assert found["weight_kg"].auc_known_time < 0.6


def test_the_model_looks_better_than_it_serves(leaking, settings):
    objective = shop_objective()
    data = training_set(leaking, settings, objective, service="repairs")

    found = model_leakage(sampled(leaking, settings), data, objective, Limits())

    assert found.is_flagged
    assert found.auc_looks_like == 1.0
    assert found.auc_serves_as < 0.9
    assert found.loss == "log_loss" and found.loss_serves_as > found.loss_looks_like
    assert found.rows == data.test.num_rows


def test_an_honest_shop_is_clean_and_its_model_serves_as_it_looks(honest, settings):
    objective, sample = shop_objective(), sampled(honest, settings, rows=500)
    data = training_set(honest, settings, objective, service="repairs")

    model = model_leakage(sample, data, objective, Limits())

    assert sample.rows.num_rows == 500
    assert {item.verdict for item in feature_leakages(sample, Limits())} == {Verdict.CLEAN}
    assert not model.is_flagged
    assert model.auc_looks_like == model.auc_serves_as


def test_the_rows_are_in_order_of_time(honest, settings):
    at = sampled(honest, settings, rows=100).rows[EVENT_TIMESTAMP].to_pylist()

    assert at == sorted(at) and len(set(at)) == 100


def test_labels_that_are_all_the_same_rank_nothing(store, settings):
    rows = shop_rows(900, START, seed=1)
    write_shop(settings, rows.set_column(5 - 1, "came_back", pa.array(np.ones(900, dtype=bool))))

    with pytest.raises(InvalidDataError, match=r"All .* labels 'came_back' looked at are the same"):
        sampled(store, settings)


def test_an_unknown_service_is_named(honest, settings):
    with pytest.raises(ConfigurationError, match=r"no feature service 'repair'; registered are \['repairs'\]"):
        sampled_columns(honest, settings, shop_objective(), service="repair", rows=0, seed=0, known={})


@pytest.fixture
def project(settings: Settings) -> Settings:
    """The files that make the store's folder a project of the command line."""
    definition = {
        "project": "shop",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": settings.registry},
        "offline_store": {"type": "larder.offline.DeltaOfflineStore", "lake": settings.lake},
        "online_store": {"type": "sqlite", "path": str(settings.state / "online.db")},
        "entity_key_serialization_version": 3,
    }
    for folder in (settings.feature_repo, settings.home / "training"):
        folder.mkdir(parents=True)
    (settings.feature_repo / "feature_store.yaml").write_text(yaml.safe_dump(definition))
    (settings.feature_repo / "repairs.py").touch()
    (settings.home / "training" / "repairs.py").write_text(
        "from tests.training.shop import shop_objective\n\nobjective = shop_objective()\n"
    )
    return settings


def run(project: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(leakage, [*arguments], obj=project)


def test_the_command_names_the_leak_writes_the_report_and_fails(leaking, project):
    done = run(project, "--model")

    said = " ".join(done.output.split())
    assert done.exit_code == 2
    assert "1 feature looks better in training than 'repairs' can serve: weight_kg." in said
    assert "The model looks like ROC-AUC 1.0000" in said
    report = json.loads((project.reports / "leakage.json").read_text())
    assert [item["verdict"] for item in report["features"]] == ["clean", "clean", "leak"]
    assert report["model"]["is_flagged"] is True


def test_the_command_ends_well_when_nothing_leaks(honest, project):
    done = run(project)

    assert done.exit_code == 0, done.output
    assert "None of the 3 features that can be judged leaks" in " ".join(done.output.split())
    assert json.loads((project.reports / "leakage.json").read_text())["model"] is None


@pytest.mark.parametrize("known", ["pans", "=known_at", "pans="])
def test_a_known_column_without_source_or_name_is_refused(honest, project, known):
    done = run(project, "--known", known)

    assert done.exit_code == 2
    assert "SOURCE=COLUMN" in done.output
