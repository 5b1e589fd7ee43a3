import json
from random import Random
from typing import Any

import pytest

from serving import predict as predict_module

TENSORS = {
    "inputs": [
        {"name": "shop", "shape": [1], "datatype": "BYTES", "data": ["north"]},
        {"name": "customer", "shape": [1], "datatype": "INT64", "data": [7]},
        {"name": "amount", "shape": [1], "datatype": "FP64", "data": [20.0]},
        {"name": "ordered_at", "shape": [1], "datatype": "BYTES", "data": ["2024-03-01T12:00:00Z"]},
    ]
}


def test_an_answer_is_scikit_learns_probability_under_the_use_cases_names(server: Any, known: Any, expected: Any):
    prediction = server.ask(known).prediction

    assert prediction["return_probability"] == pytest.approx(expected([30, 40, 50, 12, 20], "east"), abs=1e-5)
    assert prediction["is_return_expected"] is (prediction["return_probability"] >= 0.5)
    assert prediction["confidence"] == "high"
    assert (prediction["missing"], prediction["stale"], prediction["out_of_bounds"]) == ([], [], [])
    assert "features" not in prediction


def test_features_are_shown_on_request(server: Any, known: Any):
    assert server.ask(known, explain=True).prediction["features"] == {
        "sales_mean_7d": 30.0,
        "sales_count_7d": 40,
        "region": "east",
        "age_years": 50.0,
        "order_hour": 12,
        "amount": 20.0,
    }


@pytest.mark.parametrize("asked", ["maybe", "True", "", "1"])
def test_explain_is_true_or_false_and_nothing_else(server: Any, known: Any, asked: str):
    answered = server.post(json.dumps({"rows": [known]}).encode(), path=f"/predict?explain={asked}")

    assert answered.status == 422
    assert answered.json["error"] == f"explain is {asked!r}; possible are true and false."


def test_an_answer_says_which_version_gave_it_and_when(server: Any, known: Any):
    content = server.ask(known).json

    assert content["model"] == {"name": "returns", "version": "1"}
    assert content["at"] == "2024-03-01T12:00:00Z"


def test_what_is_stored_of_nobody_is_missing_and_what_is_too_old_is_stale(server: Any, known: Any, expected: Any):
    prediction = server.ask(known | {"customer": 8, "shop": "south"}, explain=True).prediction

    assert prediction["missing"] == ["sales_mean_7d", "sales_count_7d", "region"]
    assert prediction["stale"] == ["age_years"]
    assert prediction["confidence"] == "low"
    assert prediction["features"]["age_years"] is None
    nan = float("nan")
    assert prediction["return_probability"] == pytest.approx(expected([nan, nan, nan, 12, 20], ""), abs=1e-5)


def test_absence_lowers_the_confidence_only_where_the_use_case_says_so(server: Any, known: Any):
    assert server.ask(known | {"customer": 999}).prediction["confidence"] == "high"
    assert server.ask(known | {"shop": None}).prediction["confidence"] == "low"


def test_a_request_field_that_was_null_in_training_may_be_null(server: Any, known: Any, expected: Any):
    prediction = server.ask(known | {"amount": None}, explain=True).prediction

    assert prediction["features"]["amount"] is None
    assert prediction["return_probability"] == pytest.approx(expected([30, 40, 50, 12, float("nan")], "east"), abs=1e-5)


def test_a_null_that_an_on_demand_view_cannot_bear_is_refused_with_its_name(server: Any, known: Any):
    answered = server.ask(known, known | {"ordered_at": None})

    assert answered.status == 422
    assert "'ordered_at' is null, but 'basket' cannot do without it" in answered.json["error"]


def test_values_outside_the_range_of_training_are_named_and_doubted(server: Any, known: Any):
    prediction = server.ask(known | {"amount": 1e308}).prediction

    assert prediction["out_of_bounds"] == ["amount"]
    assert prediction["confidence"] == "low"
    assert 0 <= prediction["return_probability"] <= 1


def test_rows_are_answered_in_their_order(server: Any, known: Any):
    amounts = [5.0, 400.0, 20.0]

    shown = server.ask(*(known | {"amount": amount} for amount in amounts), explain=True).json["predictions"]

    assert [item["features"]["amount"] for item in shown] == amounts


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b'{"rows": [{}]}', "application/json", 422, "`shop`"),
        (b"nonsense", "application/json; charset=utf-8", 422, "malformed"),
        (b'{"rows": []}', "application/x-www-form-urlencoded", 415, "application/json"),
        (b" " * 1_000_001, "application/json", 413, "1000000 bytes"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(server: Any, body: bytes, content_type: str, status: int, said: str):
    answered = server.post(body, content_type=content_type)

    assert answered.status == status
    assert said in answered.json["error"]


def test_an_instant_at_the_end_of_the_calendar_is_refused_and_not_a_defect(server: Any, known: Any):
    answered = server.ask(known | {"ordered_at": "0001-01-01T00:00:00+23:59"})

    assert answered.status == 422
    assert "ordered_at" in answered.json["error"]


def test_other_paths_and_methods_are_refused(server: Any):
    assert server.get("/predict").status == 405
    assert server.get("/nothing").status == 404


def test_health_readiness_and_model_can_be_asked(server: Any):
    model = server.get("/model").json

    assert server.get("/health").status == 200
    assert server.get("/ready").json["ready"] is True
    assert (model["version"], model["run_id"], model["threshold"]) == ("1", "run", 0.5)
    assert set(model["hashes"]) == {"plan.json", "model.onnx"}
    assert [item["name"] for item in model["request"]] == ["shop", "customer", "amount", "ordered_at"]


def test_the_example_that_the_server_shows_can_be_sent(server: Any):
    example = server.get("/model").json["example"]

    assert server.post(json.dumps(example).encode()).prediction["missing"] == []


def test_metrics_count_requests_and_absent_features(server: Any, known: Any):
    server.ask(known)
    server.ask(known | {"customer": 999}, known | {"customer": 8})
    server.post(b"nonsense")

    text = server.get("/metrics").text

    assert 'larder_requests_total{status="200"} 2.0' in text
    assert 'larder_requests_total{status="422"} 1.0' in text
    assert 'larder_predictions_total{confidence="high"} 3.0' in text
    assert 'larder_feature_doubts_total{doubt="missing",feature="age_years"} 1.0' in text
    assert 'larder_feature_doubts_total{doubt="stale",feature="age_years"} 1.0' in text
    assert "larder_request_seconds_count 3.0" in text


def test_metrics_show_what_the_process_uses(server: Any):
    lines = server.get("/metrics").text.splitlines()
    used = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("process_")}

    assert used["process_cpu_seconds_total"] > 0
    assert used["process_resident_memory_bytes"] > 1e7


def test_no_payload_is_a_defect(server: Any, known: Any):
    """Three thousand requests from mutated bytes and wild values; the seed is fixed, so a failure repeats."""
    random = Random(2024)
    wild = [None, True, -1, 2**64, 1e308, "", "\x00", "nan", "\U0001f600" * 400, [], {}, [[]], "2024-03-01", 0.1]
    for _ in range(3_000):
        row = known | {random.choice([*known, "other"]): random.choice(wild)}
        body = bytearray(json.dumps({"rows": [row] * random.randint(0, 2)}).encode())
        for _ in range(random.choice([0, 0, 1, 3])):
            body[random.randrange(len(body))] = random.randrange(256)

        answered = server.post(bytes(body))

        assert answered.status in (200, 422), (answered, bytes(body))


def test_a_defect_is_answered_with_500_and_told_to_the_servers_log(
    server: Any, known: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with monkeypatch.context() as broken:
        broken.setattr(predict_module, "live_answer", lambda *_, **__: 1 / 0)
        answered = server.ask(known)

        infer = server.post(json.dumps(TENSORS).encode(), path="/v2/models/returns/infer")

    assert answered.status == infer.status == 500
    assert "Unexpected ZeroDivisionError" in answered.json["error"]
    assert answered.headers["connection"] == "close"
    assert server.ask(known).status == 200  # over a new connection; by now the error is logged
    assert "ZeroDivisionError" in caplog.text
    assert 'larder_requests_total{status="500"} 2.0' in server.get("/metrics").text
