"""What a challenger must be beside good: rows that rebuild, inputs that are there, a model that answers in time."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureService

from larder.contracts.errors import GateError
from larder.contracts.retraining import Release
from larder.ledger import Act, ledger_of
from tests.training.shop import END, SPLIT, shop_objective, shop_rows, write_shop
from training.data.training_set import training_data, training_set
from training.models.export import export
from training.models.fitness import latency, nulls, reproducibility
from training.models.tracking import Challenger, load_challenger
from training.promotion import candidate
from training.release.begin import begin_shadow
from training.training_run import train

MODEL = "repairs"
OBJECTIVE = shop_objective(references={}, gates=())
RELEASE = Release()


@pytest.fixture
def challenger(store, settings) -> Challenger:
    settings = replace(settings, replay_at=END)
    write_shop(settings, shop_rows(1000, SPLIT - timedelta(days=4), seed=1))
    train(settings, OBJECTIVE, training_set(store, settings, OBJECTIVE, service=MODEL), model=MODEL)
    return load_challenger(settings, MODEL)


def test_rows_that_are_built_again_have_the_same_hash(store, settings, challenger):
    found = reproducibility(challenger, training_data(store, settings, service=MODEL))

    assert (found.value, found.passed, found.evidence) == (1.0, True, "same hash")


def test_rows_that_come_out_otherwise_are_no_ground_for_a_release(store, settings, challenger):
    build = training_data(store, settings, service=MODEL)

    def otherwise(selection):
        rows = build(selection)
        return replace(rows, lineage=replace(rows.lineage, data_hash="other"))

    found = reproducibility(challenger, otherwise)

    assert (found.value, found.passed) == (0.0, False) and "a library computes otherwise" in found.evidence


def test_a_challenger_whose_features_changed_is_rejected_on_record(store, settings, challenger):
    pans = store.get_feature_view("pans")
    store.apply([FeatureService(name="repairs", features=[pans[["age_years", "metal"]]])])
    chosen = candidate(
        settings, OBJECTIVE, RELEASE, model=MODEL, training_data=training_data(store, settings, service=MODEL)
    )

    with pytest.raises(GateError) as refusal:
        begin_shadow(store, settings, OBJECTIVE, RELEASE, chosen, ledger=ledger_of(settings))

    said = str(refusal.value)
    assert "rows rebuilt is 0" in said and "definitions behind feature service 'repairs' changed" in said
    assert "Bring back what its rows were made of" in said and "change the gates" not in said

    [entry] = ledger_of(settings).entries(acts=(Act.REJECTION,))
    assert entry.reason == "failed its gates: rows rebuilt"
    assert not (settings.bundles / MODEL / "1").exists()


def test_an_input_that_went_missing_since_training_is_named(challenger):
    rows = challenger.test
    lost = pa.array([None] * rows.num_rows, rows.schema.field("age_years").type)
    broken = replace(challenger, test=rows.set_column(rows.column_names.index("age_years"), "age_years", lost))

    assert nulls(challenger, RELEASE).passed
    found = nulls(broken, RELEASE)
    assert (found.value, found.limit, found.passed) == (1.0, 0.2, False)
    assert found.evidence.startswith("age_years: 100.0% of")


def test_nulls_that_windows_of_training_had_as_well_are_usual(challenger):
    rows, description = challenger.test, challenger.description
    assert description.baseline is not None
    mask = np.arange(rows.num_rows) % 2 == 0
    gappy = pa.array(rows["age_years"].to_numpy(), rows.schema.field("age_years").type, mask=mask)
    usual = msgspec.structs.replace(description.baseline, usual={"age_years": {"null_share": 0.4}})
    half = replace(
        challenger,
        test=rows.set_column(rows.column_names.index("age_years"), "age_years", gappy),
        description=msgspec.structs.replace(description, baseline=usual),
    )

    assert not nulls(replace(half, description=description), RELEASE).passed
    assert nulls(half, RELEASE).passed


def test_a_model_that_takes_longer_than_declared_does_not_pass(challenger):
    served = export(challenger.pipeline, challenger.description.columns, challenger.test)

    found = latency(challenger, served, replace(RELEASE, latency_ms=1e-6))

    assert not found.passed and found.value is not None and found.value > 0
    assert found.evidence == "onnx, median of 200 single rows"
