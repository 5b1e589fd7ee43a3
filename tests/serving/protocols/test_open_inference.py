"""What a client of the Open Inference Protocol sends and gets."""

import json
from typing import Any

import pytest

from larder.contracts.answer import Answer
from serving.models.model import Model
from serving.protocols.open_inference import Asked, Wanted, answered
from tests.serving.conftest import Client

INFER = "/v2/models/returns/infer"
DATATYPES = {"shop": "BYTES", "customer": "INT64", "amount": "FP64", "ordered_at": "BYTES"}


def inference(*rows: dict[str, Any], **others: Any) -> dict[str, Any]:
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": DATATYPES[name], "data": [row[name] for row in rows]}
        for name in rows[0]
    ]
    return {"inputs": tensors} | others


def post(server: Client, content: Any, *, path: str = INFER) -> Any:
    return server.post(json.dumps(content).encode(), path=path)


def test_tensors_are_answered_as_by_predict(server: Client, known: dict[str, Any]):
    other = known | {"customer": 8, "amount": 90.0}
    own = server.ask(known, other).json["predictions"]

    found = post(server, inference(known, other, id="mine")).json

    assert (found["model_name"], found["model_version"], found["id"]) == ("returns", "1", "mine")
    outputs = {tensor["name"]: tensor for tensor in found["outputs"]}
    assert outputs["return_probability"]["data"] == [row["return_probability"] for row in own]
    assert outputs["return_probability"]["datatype"] == "FP64" and outputs["return_probability"]["shape"] == [2]
    assert outputs["is_return_expected"]["datatype"] == "BOOL"
    assert outputs["stale"]["data"] == ["", "age_years"]  # customer 8 was written two hours ago


def test_a_column_of_one_and_chosen_outputs(server: Client, known: dict[str, Any]):
    request = inference(known, outputs=[{"name": "is_return_expected"}])
    for tensor in request["inputs"]:
        tensor |= {"shape": [1, 1], "data": [tensor["data"]]}

    found = post(server, request, path="/v2/models/returns/versions/1/infer")

    assert found.status == 200 and [tensor["name"] for tensor in found.json["outputs"]] == ["is_return_expected"]
    assert found.json["id"]


def test_what_the_caller_does_not_know_is_null(server: Client, known: dict[str, Any]):
    found = post(server, inference(known | {"amount": None})).json

    assert found["outputs"][0]["data"] == [server.ask(known | {"amount": None}).prediction["return_probability"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body["inputs"].pop(), "ordered_at"),
        (lambda body: body["inputs"].append(body["inputs"][0]), "more than once"),
        (lambda body: body["inputs"][0].update(shape=[2]), "has shape [2] and 1 values"),
        (lambda body: body["inputs"][0].update(shape=[1, 3], data=[["a", "b", "c"]]), "one value per row is needed"),
        (lambda body: body["inputs"][0].update(datatype="TEXT"), "$.inputs[0].datatype"),
        (lambda body: body["inputs"][1].update(data=["seven"]), "customer"),
        (lambda body: body.update(outputs=[{"name": "odds"}]), "no outputs ['odds']"),
        (lambda body: body.update(inputs=[]), "`inputs` is no object of lists"),
        (lambda body: body.pop("inputs"), "inputs"),
    ],
)
def test_what_cannot_be_used_is_400_with_the_reason(server: Client, known: dict[str, Any], change: Any, said: str):
    body = inference(known)
    change(body)

    found = post(server, body)

    assert found.status == 400 and said in found.json["error"]


def test_the_server_and_the_model_describe_themselves(server: Client):
    model = server.get("/v2/models/returns").json

    assert server.get("/v2").json["name"] == "larder"
    assert server.get("/v2/health/live").json == {"live": True}
    assert server.get("/v2/health/ready").json["ready"] is server.get("/v2/models/returns/ready").json["ready"] is True
    assert {tensor["name"]: tensor["datatype"] for tensor in model["inputs"]} == DATATYPES
    assert (model["versions"], model["platform"]) == (["1"], "larder_onnx")
    assert [tensor["name"] for tensor in model["outputs"]][:2] == ["return_probability", "is_return_expected"]


@pytest.mark.parametrize("path", ["/v2/models/sales", "/v2/models/returns/versions/2", "/v2/models/sales/ready"])
def test_what_does_not_answer_is_not_found(server: Client, path: str):
    assert server.get(path).status == 404


def test_an_output_has_the_type_that_the_metadata_say_also_where_its_first_value_is_null(model: Model):
    found = [{"probability": value, "decision": None} for value in (None, 0.5)]
    names = [Wanted("probability"), Wanted("decision")]

    said = answered(found, Asked(inputs=[], outputs=names), model.manifest, Answer("returns"), id="1")

    assert [(tensor["datatype"], tensor["data"]) for tensor in said["outputs"]] == [
        ("FP64", [None, 0.5]),
        ("BOOL", [None, None]),
    ]
