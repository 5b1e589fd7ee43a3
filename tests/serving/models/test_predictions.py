import math

import pytest

from larder.contracts.answer import Answer
from larder.online.reading.compiled import FeatureRows, Status
from serving.models.model import Model, Scores
from serving.models.predictions import Prediction, predictions, rendered

VALUES = [30.0, 40, "east", 50.0, 12, 20.0]
PRESENT = [Status.PRESENT] * 6


def _one(model: Model, values: list[object], statuses: list[Status], **rules: object) -> Prediction:
    [prediction] = predictions(model, Answer("returns", **rules), FeatureRows([values], [statuses]))  # type: ignore[arg-type]
    return prediction


def test_a_computed_value_is_not_missing_although_one_of_its_inputs_is(model: Model):
    assert _one(model, VALUES, [*PRESENT[:4], Status.NOT_FOUND, Status.PRESENT]).missing == []
    assert _one(model, [*VALUES[:4], None, 20.0], [*PRESENT[:4], Status.NOT_FOUND, Status.PRESENT]).missing == [
        "order_hour"
    ]


def test_a_stored_null_is_neither_missing_nor_stale(model: Model):
    prediction = _one(model, [None, *VALUES[1:]], PRESENT)

    assert (prediction.missing, prediction.stale, prediction.confidence) == ([], [], "high")


def test_confidence_is_low_when_too_large_a_share_is_absent(model: Model):
    half = [None, None, None, *VALUES[3:]]
    statuses = [Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE, Status.NOT_FOUND, *PRESENT[3:]]

    assert _one(model, half, statuses, max_absent_share=0.5).confidence == "high"
    assert _one(model, half, statuses, max_absent_share=0.4).confidence == "low"


def test_the_decision_is_made_from_the_threshold_on(model: Model):
    prediction = _one(model, VALUES, PRESENT)

    assert prediction.decision is (prediction.predicted >= model.manifest.threshold)


def test_a_probability_that_is_none_is_no_decision_and_doubted(model: Model, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(type(model), "scores", lambda *_: Scores([math.nan], [[]]))

    prediction = _one(model, VALUES, PRESENT)
    said = rendered(prediction, Answer("returns"), model.manifest)

    assert (prediction.predicted, prediction.decision, prediction.confidence) == (None, None, "low")
    assert (said["probability"], said["decision"]) == (None, None)
